"""Both halves of a network that is cut, as graphs of their own, proved to compute what the whole computes.

image -> edge -> the cut's tensors -> cloud -> outputs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.lab.onnx_graphs import NetworkError, copy_of, reads, rename, weights
from siftfunnel.lab.onnx_runner import Runner, relative_difference
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.prepare import ROUGH_TOLERANCE, TOLERANCE, is_rough
from siftfunnel.shared.tensors import OutputSpec, TensorSpec

EDGE_INPUT = "image"


@dataclass(frozen=True)
class Halves:
    """A network in two.

    Attributes:
        edge: input `image` as the network takes it, outputs `tensors` as float32.
        cloud: inputs `tensors`, outputs `outputs`.
        tensors: between them, named for both graphs.
        outputs: of the cloud half, named for it.
        cut: where it was cut; None for halves that somebody brought cut already.
        frames_per_run: as the network's.
        difference: of cloud(edge(x)) from the whole network, relative to its largest value; None where the
            network draws noise or there is no whole one.
    """

    edge: onnx.ModelProto
    cloud: onnx.ModelProto
    tensors: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]
    cut: Cut | None
    frames_per_run: int | None
    difference: float | None


@dataclass(frozen=True)
class Way:
    """A tensor where it enters or leaves a half: its name and ONNX type inside the network and outside."""

    old: str
    new: str
    shape: tuple[int | None, ...]
    inside: int
    outside: int

    def described(self) -> onnx.ValueInfoProto:
        """As a graph's input or output, the batch free."""
        return helper.make_tensor_value_info(self.new, self.outside, ["N", *self.shape])


def halves(network: Network, cut: Cut) -> Halves:
    """Cut a network in two and prove both halves on random frames.

    Weights that both sides use are kept on both; what no picture changes is computed on each side.

    Raises:
        NetworkError: the cut is none, or the halves together do not compute what the network computes.
    """
    flow = Flow(network)
    names = [tensor.name for tensor in cut.tensors]
    flow.cut(names)
    sent = _plain_names([tensor.name for tensor in cut.tensors], taken={EDGE_INPUT})
    given = _plain_names([output.name for output in network.outputs], taken={EDGE_INPUT, *sent})
    tensors = tuple(TensorSpec(new, t.shape) for new, t in zip(sent, cut.tensors, strict=True))
    outputs = tuple(
        OutputSpec(new, o.kind, o.shape, o.dtype) for new, o in zip(given, network.outputs, strict=True)
    )
    image = Way(network.input.name, EDGE_INPUT, network.input.shape, *[_onnx_type(network.input.dtype)] * 2)
    between = [
        Way(old.name, new.name, old.shape, _onnx_type(network.tensors[old.name].dtype), TensorProto.FLOAT)
        for old, new in zip(cut.tensors, tensors, strict=True)
    ]
    ends = [
        Way(old.name, new.name, old.shape, *[_onnx_type(old.dtype)] * 2)
        for old, new in zip(network.outputs, outputs, strict=True)
    ]
    edge = _half(network, flow.before(names), [image], between)
    behind = flow.before([output.name for output in network.outputs], stop=names)
    cloud = _half(network, behind, between, ends)
    difference = None if network.stochastic else _prove(network, edge, cloud)
    return Halves(edge, cloud, tensors, outputs, cut, network.frames_per_run, difference)


def with_weights(halves: Halves, weights: Mapping[str, NDArray[np.float32]]) -> Halves:
    """Halves whose cloud graph has other values in these initialisers; nothing else in it changes."""
    if not weights:
        return halves
    cloud = copy_of(halves.cloud)
    for tensor in cloud.graph.initializer:
        if tensor.name in weights:
            kind = numpy_helper.to_array(tensor).dtype
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(kind), tensor.name))
    return replace(halves, cloud=cloud)


def device_milliseconds(network: Network, cut: Cut) -> float:
    """Time of the device's half for one frame, on one thread of this machine.

    Raises:
        NetworkError: the halves of the cut do not compute what the network computes.
    """
    frames = network.random_frames(network.frames_per_run or 1)
    return Runner(halves(network, cut).edge, network.frames_per_run).milliseconds(frames)


def _plain_names(names: Sequence[str], taken: set[str]) -> list[str]:
    """Names that files, wires and people can take: letters, digits, dot, dash, underscore; each once."""
    plain: list[str] = []
    for name in names:
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name).strip("_.-")
        stem, number = stem or "tensor", 1
        new = stem
        while new in taken:
            number += 1
            new = f"{stem}_{number}"
        taken.add(new)
        plain.append(new)
    return plain


def _half(
    network: Network, nodes: Sequence[onnx.NodeProto], ways_in: Sequence[Way], ways_out: Sequence[Way]
) -> onnx.ModelProto:
    """A model of some nodes whose inputs and outputs have the names and types of the ways."""
    names, casts_in, casts_out = _names(nodes, ways_in, ways_out)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    rename(copies, names)
    used = {name for node in nodes for name in reads(node)}
    graph = helper.make_graph(
        [*casts_in, *copies, *casts_out],
        "half",
        [way.described() for way in ways_in],
        [way.described() for way in ways_out],
    )
    for name, tensor in weights(network.model.graph).items():
        if name in used:
            graph.initializer.append(tensor)
            graph.initializer[-1].name = names.get(name, name)
    half = helper.make_model(
        graph, opset_imports=list(network.model.opset_import), producer_name="siftfunnel"
    )
    half.ir_version = network.model.ir_version
    half.functions.extend(network.model.functions)
    return half


def _names(
    nodes: Sequence[onnx.NodeProto], ways_in: Sequence[Way], ways_out: Sequence[Way]
) -> tuple[dict[str, str], list[onnx.NodeProto], list[onnx.NodeProto]]:
    """New names for a half's tensors, and the nodes at its doors where a new name alone does not do."""
    names = {way.old: way.new for way in ways_in if way.inside == way.outside}
    names |= {w.old: w.new for w in ways_out if w.inside == w.outside and w.old not in names}
    outside = {way.new for way in (*ways_in, *ways_out)}
    inner = {name for node in nodes for name in (*reads(node), *node.output)} | {way.old for way in ways_in}
    for name in inner & outside:
        names.setdefault(name, f"{name}_inside")
    casts_in = [
        helper.make_node("Cast", [way.new], [names.get(way.old, way.old)], to=way.inside)
        for way in ways_in
        if way.inside != way.outside
    ]
    casts_out = [
        helper.make_node("Cast", [names.get(way.old, way.old)], [way.new], to=way.outside)
        for way in ways_out
        if names.get(way.old) != way.new
    ]
    return names, casts_in, casts_out


def _onnx_type(dtype: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _prove(network: Network, edge: onnx.ModelProto, cloud: onnx.ModelProto) -> float:
    frames = network.random_frames(2 * (network.frames_per_run or 1))
    sent = Runner(edge, network.frames_per_run)(frames)
    found = Runner(cloud, network.frames_per_run)(*sent)
    difference = max(relative_difference(a, b) for a, b in zip(found, network(frames), strict=True))
    allowed = ROUGH_TOLERANCE if is_rough(network.model) else TOLERANCE
    if not difference <= allowed:
        raise NetworkError(
            f"the halves together differ from the network by {difference:.1e} of its largest value, "
            f"allowed is {allowed:.0e}; cut elsewhere"
        )
    return difference
