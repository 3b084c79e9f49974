"""The funnel in closed form: what it computes, in Python and in the graphs, and what it is good for."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.split.features import Ends, Seen
from siftfunnel.lab.split.fit_steps import Fitting
from siftfunnel.lab.split.funnel import Funnel, estimated_bytes, fit_funnel, quantised, step_for
from siftfunnel.lab.split.funnel_graphs import funnelled_cloud, funnelled_edge
from siftfunnel.lab.split.linear import (
    Refinement,
    fit_tensor,
    maps_spec,
    moments,
    possible_sides,
    to_maps,
    to_patches,
)
from siftfunnel.shared.tensors import TensorSpec
from tests.lab.split import cutnets
from tests.lab.split.cutnets import quiet

GENERATOR = np.random.default_rng(0)


def through(name: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *shape]) for n in ("in", name)]
    graph = helper.make_graph([helper.make_node("Neg", ["in"], [name])], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def behind(name: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *shape]) for n in (name, "out")]
    graph = helper.make_graph([helper.make_node("Neg", [name], ["out"])], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("shape", [(5,), (6, 4), (3, 4, 8), (3, 4, 2, 2)])
def test_a_funnel_with_all_its_channels_gives_back_what_it_was_given(shape: tuple[int, ...]) -> None:
    tensor = TensorSpec("t", shape)
    values = GENERATOR.normal(size=(40, *shape)).astype(np.float32)
    for side in possible_sides(maps_spec(tensor)):
        size = maps_spec(tensor).channels * side * side
        drawn = torch.from_numpy(GENERATOR.normal(size=(size, size)))
        part = fit_tensor(values, tensor, side, drawn @ drawn.T)
        np.testing.assert_allclose(part.decode(part.encode(values)), values, atol=1e-3)


@pytest.mark.parametrize("shape", [(5,), (6, 4), (3, 4, 8), (3, 4, 2, 2)])
def test_the_halves_with_a_funnel_compute_what_the_funnel_computes(shape: tuple[int, ...]) -> None:
    tensor = TensorSpec("t", shape)
    values = GENERATOR.normal(size=(9, *shape)).astype(np.float32)
    for side in possible_sides(maps_spec(tensor)):
        size = maps_spec(tensor).channels * side * side
        part = fit_tensor(values, tensor, side, torch.eye(size, dtype=torch.float64))
        part = part.keep(np.arange(size) < max(1, size // 2))
        (z,) = Runner(funnelled_edge(through("t", shape), [part]))(-values)
        assert z.shape[1:] == part.sent.shape
        np.testing.assert_allclose(z, part.encode(values), atol=1e-4)
        (back,) = Runner(funnelled_cloud(behind("t", shape), [part]))(z)
        np.testing.assert_allclose(-back, part.decode(z), atol=1e-4)


def test_a_trained_funnels_refinement_is_in_the_cloud_half_too() -> None:
    tensor, values = TensorSpec("t", (3, 4, 8)), GENERATOR.normal(size=(9, 3, 4, 8)).astype(np.float32)
    part = fit_tensor(values, tensor, 2, torch.eye(12, dtype=torch.float64))
    shapes = ((5, 3, 3, 3), (5,), (3, 5, 3, 3), (3,))
    drawn = (torch.from_numpy(GENERATOR.normal(size=shape)).float() for shape in shapes)
    part = replace(part, refinement=Refinement(*drawn))
    z = part.encode(values)
    (back,) = Runner(funnelled_cloud(behind("t", tensor.shape), [part]))(z)
    np.testing.assert_allclose(-back, part.decode(z), atol=1e-3)


def test_patches_have_the_mean_and_the_covariance_that_numpy_finds() -> None:
    tensor = TensorSpec("t", (3, 4, 4))
    values = (100 + GENERATOR.normal(size=(70, 3, 4, 4))).astype(np.float32)
    rows = to_patches(to_maps(torch.from_numpy(values), tensor), 2).flatten(0, 1).double().numpy()
    mean, covariance = moments(values, tensor, 2)
    np.testing.assert_allclose(mean.numpy(), rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(covariance.numpy(), np.cov(rows.T, bias=True), atol=1e-4)


def test_nothing_is_spent_on_what_the_cloud_half_ignores() -> None:
    ends, fitted = cutnets.seen(cutnets.classifier(ignored=3), 64)
    funnel = fit_funnel(Fitting(ends, fitted, fitted, quiet), 30)
    (part,) = funnel.parts
    by_channel = part.encode_KI.reshape(-1, 6, part.side**2).square().sum(dim=(0, 2))
    assert float(by_channel[:3].max()) < 0.1 * float(by_channel[3:].min())


@pytest.mark.parametrize("kind", ["logits", "probabilities", "embedding", "tensor"])
def test_what_the_outputs_ask_for_diverges_less_at_equal_bytes_than_what_varies(kind: str) -> None:
    ends, fitted = cutnets.seen(cutnets.classifier(kind, ignored=3), 200)
    others = cutnets.seen(cutnets.classifier(kind, ignored=3), 100, seed=1)[1]
    funnel = fit_funnel(Fitting(ends, fitted, others, quiet), 30)
    side = funnel.parts[0].side
    plain = Funnel(
        (
            fit_tensor(
                fitted.tensors[0],
                ends.halves.tensors[0],
                side,
                torch.eye(6 * side * side, dtype=torch.float64),
            ),
        )
    )
    assert divergence(ends, funnel, fitted, others) < 0.85 * divergence(ends, plain, fitted, others)


def divergence(ends: Ends, funnel: Funnel, fitted: Seen, others: Seen) -> float:
    known, z = funnel.encode(fitted.tensors), funnel.encode(others.tensors)
    step = step_for(lambda step: estimated_bytes(known, z, step), 30, funnel.unit)
    arrived = ends.cloud(funnel.decode(quantised(z, step)))
    return float(others.likeness.divergence_N(arrived).mean())


def test_an_operator_that_cannot_be_differentiated_falls_back_to_shifting_channels_and_says_so() -> None:
    ends, fitted = cutnets.seen(cutnets.classifier("tensor", ignored=3, operator="Round"), 64)
    funnel = fit_funnel(Fitting(ends, fitted, fitted, quiet), 30)
    assert "by shifting it" in funnel.importance
    assert "Round" in funnel.importance
    by_channel = funnel.parts[0].encode_KI.reshape(-1, 6, funnel.parts[0].side ** 2).square().sum(dim=(0, 2))
    assert float(by_channel[:3].max()) < 0.2 * float(by_channel[3:].min())


def test_two_tensors_share_one_step() -> None:
    ends, fitted = cutnets.seen(cutnets.two_tensors(), 100)
    funnel = fit_funnel(Fitting(ends, fitted, fitted, quiet), 40)
    z = funnel.encode(fitted.tensors)
    steps = [step_for(lambda s: estimated_bytes(z, z, s), size, funnel.unit) for size in (20, 30, 40)]
    errors = [
        fitted.likeness.divergence_N(ends.cloud(funnel.decode(quantised(z, step)))).mean() for step in steps
    ]
    assert errors[0] > errors[1] > errors[2]


def test_channels_that_are_always_zero_are_not_computed() -> None:
    ends, fitted = cutnets.seen(cutnets.classifier(), 100)
    funnel = fit_funnel(Fitting(ends, fitted, fitted, quiet), 20)
    z = funnel.encode(fitted.tensors)
    step = step_for(lambda s: estimated_bytes(z, z, s), 20, funnel.unit)
    small = funnel.without_unused(z, step)
    assert small.parts[0].channels < funnel.parts[0].channels
    whole = funnel.decode(quantised(z, step))[0]
    np.testing.assert_allclose(
        small.decode(quantised(small.encode(fitted.tensors), step))[0], whole, atol=1e-3
    )
