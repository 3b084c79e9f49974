"""What a device or a server would refuse at its start is refused before a bundle is written."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from siftfunnel.shared.bundle import CLOUD, EDGE, BundleError
from siftfunnel.shared.bundle_check import check_halves
from siftfunnel.shared.graphs import GraphError
from siftfunnel.shared.manifest import EdgeStage
from siftfunnel.shared.selftest import EDGE_TEST, SelfTestError
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack
from tests.editable_halves import (
    MANIFEST,
    OUTPUTS,
    SPEC,
    TENSORS,
    cloud_graph,
    edge_graph,
    own_files,
    renamed,
)
from tests.tinybundle import make_tiny_bundle
from tests.tinynetwork import make_own_bundle, make_tiny_network, self_test


def refused(message, manifest=MANIFEST, **graphs):
    with pytest.raises(GraphError, match=message):
        check_halves(manifest, own_files(**graphs))


def test_halves_that_fit_run_joined():
    checked = check_halves(MANIFEST, own_files())
    assert (checked.halves, checked.self_tests, checked.frames_per_run) == (("edge", "cloud"), (), None)


def test_a_bundle_of_schema_1_is_looked_at_too(tmp_path):
    tiny = make_tiny_bundle(tmp_path / "tiny")
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    assert check_halves(tiny.manifest, files).halves == ("edge", "cloud")
    more = replace(tiny.manifest, classes=("a", "b", "c", "d"))
    with pytest.raises(GraphError, match=r"output logits is .* Nx4|output logits .* \(4,\)"):
        check_halves(more, files)


@pytest.mark.parametrize("half", [EDGE, CLOUD])
def test_one_half_alone_is_looked_at_by_itself(half):
    assert check_halves(MANIFEST, {half: own_files()[half]}).halves == (half.removesuffix(".onnx"),)


def test_a_batch_that_is_fixed_is_taken_where_the_manifest_says_so():
    graphs = {"edge": edge_graph(frames=2), "cloud": cloud_graph(frames=3)}
    checked = check_halves(replace(MANIFEST, frames_per_run=3), own_files(**graphs))
    assert checked.frames_per_run == 3
    refused(
        r"takes 3 frames at once, neither more nor less, the manifest says any number; .* frames_per_run 3",
        **graphs,
    )
    refused("the manifest says 2", replace(MANIFEST, frames_per_run=2), **graphs)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_the_input_may_be_of_any_type_that_the_manifest_says(dtype):
    spec = SPEC
    if dtype == "uint8":
        spec = replace(SPEC, scale=1, mean=(0, 0, 0), std=(1, 1, 1))
    manifest = replace(MANIFEST, input=replace(spec, dtype=dtype))
    assert check_halves(manifest, own_files(edge_graph(dtype=dtype))).halves == ("edge", "cloud")


@pytest.mark.parametrize(
    ("graphs", "message"),
    [
        ({"edge": renamed(edge_graph(), "image", "data")}, "edge.onnx: needs the inputs image, has data"),
        (
            {"edge": renamed(edge_graph(), "skip", "s")},
            "edge.onnx: needs the outputs /deep/cut, skip, has /deep/cut, s",
        ),
        ({"cloud": renamed(cloud_graph(), "skip", "s")}, "cloud.onnx: needs the inputs /deep/cut, skip"),
        (
            {"cloud": renamed(cloud_graph(), "vector", "u")},
            "cloud.onnx: needs the outputs scores, vector, boxes",
        ),
        (
            {"edge": edge_graph(dtype="uint8")},
            r"input image is tensor\(uint8\) .*, the manifest says tensor\(float\)",
        ),
    ],
)
def test_names_and_types_that_are_not_the_manifests_are_named(graphs, message):
    refused(message, **graphs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"input": replace(SPEC, layout="NCHW")},
            "input image is .* Nx24x32x3, the manifest says .* Nx3x24x32",
        ),
        ({"input": replace(SPEC, height=20)}, "input image is"),
        (
            {
                "tensors": (TENSORS[0], TensorSpec("skip", (6,))),
                "feature": pack((TENSORS[0], TensorSpec("x", (6,)))),
            },
            "output skip is .* Nx5, the manifest says .* Nx6",
        ),
        (
            {"outputs": (OUTPUTS[0], OUTPUTS[1], OutputSpec("boxes", "tensor", (4, 2)))},
            "output boxes is .* Nx2x4, the manifest says .* Nx4x2",
        ),
        (
            {
                "classes": ("a", "b"),
                "class_ids": (),
                "outputs": (OutputSpec("scores", "logits", (2,)), *OUTPUTS[1:]),
            },
            "output scores is .* Nx3, the manifest says .* Nx2",
        ),
        ({"edge_stages": (EdgeStage("magic"),)}, "manifest.json: .*magic"),
        ({"edge_stages": (EdgeStage("channel-gaussian-noise", {"sigmas": [1.0, 2.0]}),)}, "manifest.json: "),
    ],
)
def test_shapes_classes_and_stages_that_do_not_fit_are_named(changes, message):
    refused(message, replace(MANIFEST, **changes))


def test_networks_of_8_and_of_16_bits_are_taken_as_they_are():
    graph = renamed(edge_graph(), "skip", "wide")
    nodes = [
        helper.make_node("QuantizeLinear", ["wide", "step", "zero"], ["level"]),
        helper.make_node("DequantizeLinear", ["level", "step", "zero"], ["coarse"]),
        helper.make_node("Cast", ["coarse"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Relu", ["half"], ["cut"]),
        helper.make_node("Cast", ["cut"], ["skip"], to=TensorProto.FLOAT),
    ]
    outputs = {"/deep/cut": graph.outputs["/deep/cut"], "skip": graph.outputs["wide"]}
    weights = {**graph.weights, "step": np.float32(0.02), "zero": np.uint8(128)}
    small = replace(graph, nodes=[*graph.nodes, *nodes], outputs=outputs, weights=weights)
    assert check_halves(MANIFEST, own_files(small)).halves == ("edge", "cloud")


def test_text_between_the_halves_is_refused():
    graph = edge_graph()
    outputs = {"/deep/cut": graph.outputs["/deep/cut"], "skip": (TensorProto.STRING, ["N", 5])}
    nodes = [*graph.nodes[:-1], helper.make_node("MatMul", ["flat", "m"], ["numbers"])]
    nodes.append(helper.make_node("Cast", ["numbers"], ["skip"], to=TensorProto.STRING))
    refused(
        r"output skip is tensor\(string\) .*, the manifest says tensor\(float\)",
        edge=replace(graph, nodes=nodes, outputs=outputs),
    )


def test_a_size_that_only_running_shows_is_found():
    nodes = [
        helper.make_node("ReduceSum", ["short"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nought"], ["none"]),
        helper.make_node("Cast", ["none"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["whole", "pads"], ["padding"]),
        helper.make_node("Pad", ["short", "padding"], ["skip"]),
    ]
    graph = renamed(edge_graph(), "skip", "short")
    outputs = {"/deep/cut": graph.outputs["/deep/cut"], "skip": (TensorProto.FLOAT, ["N", "k"])}
    weights = {**graph.weights, "nought": np.float32(0), "pads": np.array([0, 0, 0, 1], np.int64)}
    longer = replace(graph, nodes=[*graph.nodes, *nodes], outputs=outputs, weights=weights)
    refused(r"edge\.onnx: tensor skip: expected float32 of shape \(1, 5\), not float32 \(1, 6\)", edge=longer)


@pytest.mark.parametrize("changes", [{}, {"frames_per_run": 3}, {"outputs": ("code",)}], ids=str)
def test_whatever_a_server_of_these_tests_serves_is_taken(tmp_path, changes):
    for bundle in (make_tiny_network(tmp_path / "network", **changes), make_own_bundle(tmp_path / "own")):
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        assert check_halves(bundle.manifest, files).halves == ("edge", "cloud")


# batches


def mixing_frames(node, **weights):
    """The cloud half with a step between its scores and its output."""
    graph = renamed(cloud_graph(), "scores", "ranked")
    outputs = {"scores" if name == "ranked" else name: form for name, form in graph.outputs.items()}
    return replace(graph, nodes=[*graph.nodes, *node], outputs=outputs, weights={**graph.weights, **weights})


def test_frames_that_change_one_another_in_a_batch_are_found():
    mean = helper.make_node("ReduceMean", ["ranked"], ["mean"], axes=[0], keepdims=1)
    refused(
        "output scores of a frame changes by",
        cloud=mixing_frames([mean, helper.make_node("Sub", ["ranked", "mean"], ["scores"])]),
    )


def test_a_number_of_frames_that_is_fixed_inside_is_found():
    node = helper.make_node("Reshape", ["ranked", "one"], ["scores"])
    graph = mixing_frames([node], one=np.array([1, 3], np.int64))
    refused("the number of frames is fixed inside.* frames_per_run 1", cloud=graph)


def test_a_cloud_half_that_draws_noise_is_found():
    noise = helper.make_node("RandomNormalLike", ["ranked"], ["noise"], scale=9.0)
    refused(
        "no noise is drawn",
        cloud=mixing_frames([noise, helper.make_node("Add", ["ranked", "noise"], ["scores"])]),
    )


def test_an_edge_half_whose_noise_is_its_defence_is_taken():
    graph = renamed(edge_graph(), "skip", "quiet")
    nodes = [
        helper.make_node("RandomNormalLike", ["quiet"], ["noise"]),
        helper.make_node("Add", ["quiet", "noise"], ["skip"]),
    ]
    outputs = {"skip" if name == "quiet" else name: form for name, form in graph.outputs.items()}
    noisy = replace(graph, nodes=[*graph.nodes, *nodes], outputs=outputs)
    assert check_halves(MANIFEST, own_files(noisy)).halves == ("edge", "cloud")


# scores


def kind(word):
    return replace(MANIFEST, outputs=(OutputSpec("scores", word, (3,)), *OUTPUTS[1:]))


def test_logits_that_are_probabilities_already_are_refused_and_the_reverse():
    assert check_halves(kind("probabilities"), own_files(cloud=cloud_graph(softmax=True)))
    refused(
        "called logits and holds probabilities already.* a second softmax", cloud=cloud_graph(softmax=True)
    )
    refused("called probabilities, but its values are not 0 to 1", kind("probabilities"))


# graphs that do not open


def test_what_is_no_graph_is_refused():
    with pytest.raises(GraphError, match=r"edge\.onnx: is no ONNX graph"):
        check_halves(MANIFEST, {EDGE: b"junk"})


def test_a_graph_of_a_newer_onnx_is_refused_with_what_to_do():
    refused(
        "cloud.onnx: was written for a newer ONNX than .*; update onnxruntime",
        cloud=replace(cloud_graph(), opset=99),
    )
    newer = onnx.load_model_from_string(edge_graph().to_bytes())
    newer.ir_version = 99
    with pytest.raises(GraphError, match="update onnxruntime, or export it with an older opset"):
        check_halves(MANIFEST, {EDGE: newer.SerializeToString()})


@pytest.mark.parametrize("domain", ["", "own.ops"])
def test_an_operator_of_somebodys_own_is_named(domain):
    node = helper.make_node("Sparkle", ["ranked"], ["scores"], domain=domain)
    graph = replace(mixing_frames([node]), domains=[domain] if domain else [])
    refused("cloud.onnx: has the operator .*Sparkle, which ONNX Runtime .* does not know", cloud=graph)


def test_a_graph_whose_weights_lie_elsewhere_is_never_opened(tmp_path):
    path = tmp_path / "edge.onnx"
    model = onnx.load_model_from_string(edge_graph().to_bytes())
    onnx.save_model(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(GraphError, match="keeps weights in other files; export it again as one file"):
        check_halves(MANIFEST, {EDGE: path.read_bytes()})


def test_a_picture_that_becomes_nan_is_blamed_on_the_input():
    graph = renamed(edge_graph(), "skip", "sum")
    outputs = {"skip" if name == "sum" else name: form for name, form in graph.outputs.items()}
    graph = replace(graph, nodes=[*graph.nodes, helper.make_node("Log", ["sum"], ["skip"])], outputs=outputs)
    refused("edge.onnx: gives NaN or infinity for the reference picture", edge=graph)


# the self-test


@pytest.fixture(scope="module")
def tested():
    return {**own_files(), **self_test(MANIFEST, own_files())}


def test_a_self_test_is_passed_by_the_halves_that_made_it(tested):
    assert check_halves(MANIFEST, tested).self_tests == ("edge", "cloud")


def test_a_self_test_of_another_input_is_refused(tested):
    with pytest.raises(SelfTestError, match="preprocessing"):
        check_halves(replace(MANIFEST, input=replace(SPEC, colour="RGB")), tested)


def test_a_self_test_of_other_weights_is_refused(tested):
    graph = edge_graph()
    other = replace(graph, weights={**graph.weights, "m": -graph.weights["m"]})
    with pytest.raises(SelfTestError, match="edge half: tensor 'skip' is 200% off"):
        check_halves(MANIFEST, {**tested, EDGE: other.to_bytes()})


def test_a_self_test_that_is_torn_is_refused(tested):
    with pytest.raises(BundleError, match=r"selftest-edge\.npz: does not read"):
        check_halves(MANIFEST, {**tested, EDGE_TEST: tested[EDGE_TEST][:-9]})
