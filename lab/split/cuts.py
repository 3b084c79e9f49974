"""Where a network can be cut, and what each cut costs.

A cut is a set of tensors: whatever they are computed from stays on the device, the rest goes to the cloud,
and nothing but they crosses. The tensors that are alive between two nodes are such a set; every cut of one
tensor appears among them in any order of the nodes. The last is the network's end: all of it on the device.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import onnx

from siftfunnel.lab.onnx_graphs import NetworkError, constant_names, count, reads, subgraphs, weights
from siftfunnel.lab.split.network import Network
from siftfunnel.shared.tensors import MAX_FEATURE_VALUES, MAX_RANK, TensorSpec

MOST_TENSORS = 8
MOST_CUTS_OF_SEVERAL = 32
NEAR = 0.05
"""Of the whole network's multiply-adds: how far apart cuts are that replace each other."""
FLOATS = ("float32", "float16", "float64")
_ACTIVATIONS = frozenset(
    [
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "Sigmoid",
        "HardSwish",
        "HardSigmoid",
        "Elu",
        "Gelu",
        "Tanh",
        "Mish",
    ]
)


@dataclass(frozen=True)
class Cut:
    """A place to cut.

    Attributes:
        tensors: what crosses, under the graph's names and with their shapes for one frame.
        depth: nodes of the graph in its order up to the cut.
        parameters: weights on the device, each counted once.
        macs: multiply-adds on the device for one frame.
        mac_share: of the whole network's, 0 to 1.
        is_sensible: whether nothing smaller lies before it and no activation right behind it.
        milliseconds: of the device's half on one thread of this machine; None where it was not measured.
    """

    tensors: tuple[TensorSpec, ...]
    depth: int
    parameters: int
    macs: int
    mac_share: float
    is_sensible: bool = False
    milliseconds: float | None = None

    @property
    def name(self) -> str:
        """What names the cut: the tensors' names with a plus between."""
        return "+".join(tensor.name for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """Values that cross for one frame."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def bytes_fp32(self) -> int:
        """Bytes of one frame without a codec."""
        return 4 * self.elements


class Flow:
    """A network's graph as a flow of tensors: who makes what, from what, at what cost."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.graph = network.model.graph
        self.constants = constant_names(self.graph)
        self.makers = {name: node for node in self.graph.node for name in node.output if name}
        stored = weights(self.graph)
        shapes = {name: tuple(tensor.dims) for name, tensor in stored.items()}
        for name, seen in network.tensors.items():
            if None not in seen.shape:
                axes = tuple(axis for axis in seen.shape if axis is not None)
                shapes[name] = (1, *axes) if seen.has_batch else axes
        self._shapes = self._of_constants(shapes)
        self._parameters = parameter_counts(self.graph)

    def _of_constants(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Weights behind a Cast or DequantizeLinear have the shape of what is stored."""
        for node in self.graph.node:
            if node.output[0] in self.constants and node.input and node.input[0] in shapes:
                shapes.setdefault(node.output[0], shapes[node.input[0]])
        return shapes

    def before(self, names: Iterable[str], stop: Iterable[str] = ()) -> list[onnx.NodeProto]:
        """The nodes that some tensors are computed by, in the graph's order, not going beyond `stop`."""
        waiting, wanted, ends = list(names), set(), set(stop)
        while waiting:
            name = waiting.pop()
            node = self.makers.get(name)
            if name in ends or node is None or id(node) in wanted:
                continue
            wanted.add(id(node))
            waiting += reads(node)
        return [node for node in self.graph.node if id(node) in wanted]

    def cost(self, nodes: Iterable[onnx.NodeProto]) -> tuple[int, int]:
        """Parameters, each weight once, and multiply-adds of one frame."""
        used: set[str] = set()
        macs = 0
        for node in nodes:
            used |= reads(node) & self._parameters.keys()
            macs += multiply_adds(node, self._shapes)
        return sum(self._parameters[name] for name in used), macs

    @cached_property
    def whole(self) -> tuple[int, int]:
        """Parameters and multiply-adds of the whole network."""
        return self.cost(self.graph.node)

    def cut(self, names: Sequence[str]) -> Cut:
        """The cut through some tensors, checked.

        Raises:
            NetworkError: one is unknown, constant or of a shape or type that cannot cross, or the cloud would
                need the picture still.
        """
        tensors = tuple(TensorSpec(name, self._crossing(name)) for name in names)
        outputs = [value.name for value in self.graph.output]
        behind = self.before(outputs, stop=names)
        if self.network.input.name in {name for node in behind for name in reads(node)}:
            raise NetworkError(
                f"cut through {', '.join(names)}: {_first_leak(self, behind)} behind it still needs the "
                "picture; add the tensors that go around the cut, NAME+NAME"
            )
        nodes = self.before(names)
        parameters, macs = self.cost(nodes)
        return Cut(tensors, len(nodes), parameters, macs, macs / max(self.whole[1], 1))

    def _crossing(self, name: str) -> tuple[int, ...]:
        problem = self.cannot_cross(name)
        if problem:
            raise NetworkError(f"cut through {name}: {problem}")
        return tuple(axis for axis in self.network.tensors[name].shape if axis is not None)

    def cannot_cross(self, name: str) -> str | None:
        """Why a tensor cannot be sent, with what to do; None where it can."""
        seen = self.network.tensors.get(name)
        if seen is None:
            return self._why_unseen(name)
        if name == self.network.input.name:
            return "that is the picture itself; cut behind the first layer"
        if seen.dtype not in FLOATS:
            return f"it holds {seen.dtype}; cut where the values are floats, before or behind it"
        if None in seen.shape:
            return f"each picture decides its shape {seen.shape}; cut before it"
        if not seen.has_batch:
            return "its first axis is no batch, so frames cannot be told apart; cut before or behind it"
        size = math.prod(axis for axis in seen.shape if axis is not None)
        if not 1 <= len(seen.shape) <= MAX_RANK or not 1 <= size <= MAX_FEATURE_VALUES:
            return f"shape {seen.shape} is not 1 to {MAX_RANK} axes of 1 to {MAX_FEATURE_VALUES} values"
        return None

    def _why_unseen(self, name: str) -> str:
        if name in self.constants:
            return "no picture changes it: there is nothing to send"
        for node in self.graph.node:
            for body in subgraphs(node):
                if any(name in inner.output for inner in body.node):
                    where = f"{node.op_type} {node.name}".rstrip()
                    return f"it lies inside {where}, which is kept whole: cut before or after"
        return "there is no such tensor once the network is prepared; `siftfunnel split inspect` lists them"


def _first_leak(flow: Flow, nodes: Sequence[onnx.NodeProto]) -> str:
    name = flow.network.input.name
    node = next(node for node in nodes if name in reads(node))
    return f"{node.op_type} {node.name or node.output[0]}"


def cut_named(network: Network, name: str) -> Cut:
    """The cut through the tensors that a name lists with a plus between.

    Raises:
        NetworkError: nothing can be cut there; the text says why and what to do.
    """
    flow = Flow(network)
    whole = name in flow.makers
    return flow.cut([name] if whole else [part.strip() for part in name.split("+")])


def find_cuts(network: Network) -> tuple[Cut, ...]:
    """Every cut of one tensor in the order of depth, then those of several that are valleys among their like.

    Cuts of several tensors are at most `MOST_CUTS_OF_SEVERAL`, the smallest, of at most `MOST_TENSORS`
    tensors, and only where no cut of one tensor that is as small lies near.

    Raises:
        NetworkError: there is none; the text says why.
    """
    flow = Flow(network)
    along = [flow.cut(names) for names in _live_sets(flow)]
    singles = [cut for cut in along if len(cut.tensors) == 1]
    valleys = [cut for cut in _valleys(along) if len(cut.tensors) > 1 and not _has_better(cut, singles)]
    smallest = sorted(valleys, key=lambda cut: cut.elements)[:MOST_CUTS_OF_SEVERAL]
    if not singles and not smallest:
        raise NetworkError(
            "no cut: nowhere between the picture and the outputs do only a few tensors of floats cross"
        )
    return (*_mark_sensible(flow, singles), *sorted(smallest, key=lambda cut: cut.depth))


def _live_sets(flow: Flow) -> list[tuple[str, ...]]:
    """The sets of tensors that are alive behind each node, where all of them can cross; each set once."""
    outputs = {value.name for value in flow.graph.output}
    last: dict[str, int] = {}
    for index, node in enumerate(flow.graph.node):
        last |= dict.fromkeys(reads(node), index)
    alive, sets = [flow.network.input.name], dict[tuple[str, ...], None]()
    for index, node in enumerate(flow.graph.node):
        made = [n for n in node.output if n and n not in flow.constants and (n in last or n in outputs)]
        alive = [n for n in (*alive, *made) if last.get(n, -1) > index or n in outputs]
        fits = 1 <= len(alive) <= MOST_TENSORS and outputs & set(alive) in (set(), set(alive))
        if fits and not any(flow.cannot_cross(name) for name in alive):
            sets.setdefault(tuple(alive))
    return list(sets)


def _valleys(along: Sequence[Cut]) -> list[Cut]:
    """Cuts that are smaller than those before and behind; of equals in a row, the last."""
    steps = [cut for cut, then in pairwise(along) if cut.elements != then.elements]
    steps += along[-1:]
    sizes = [math.inf, *(cut.elements for cut in steps), math.inf]
    return [
        cut for place, cut in enumerate(steps, 1) if sizes[place] < min(sizes[place - 1], sizes[place + 1])
    ]


def _has_better(cut: Cut, singles: Sequence[Cut]) -> bool:
    return any(
        single.elements <= cut.elements and abs(single.mac_share - cut.mac_share) < NEAR for single in singles
    )


def _mark_sensible(flow: Flow, cuts: Sequence[Cut]) -> list[Cut]:
    marked: list[Cut] = []
    smallest = math.inf
    readers: Mapping[str, list[str]] = _reading_operators(flow.graph)
    for cut in cuts:
        (tensor,) = cut.tensors
        behind = readers.get(tensor.name, [])
        is_map = len(tensor.shape) == 3 and tensor.shape[2] > 1
        activates = bool(_ACTIVATIONS & set(behind)) and set(behind) <= _ACTIVATIONS | {"Mul"}
        sensible = cut.elements <= smallest and 0 < cut.macs < flow.whole[1] and is_map and not activates
        smallest = min(smallest, cut.elements)
        marked.append(replace(cut, is_sensible=sensible))
    return marked


def _reading_operators(graph: onnx.GraphProto) -> dict[str, list[str]]:
    operators: dict[str, list[str]] = {}
    for node in graph.node:
        for name in reads(node):
            operators.setdefault(name, []).append(node.op_type)
    return operators


Shapes = Mapping[str, tuple[int, ...]]


def _convolution(weight: int) -> Callable[[onnx.NodeProto, Shapes], int]:
    def work(node: onnx.NodeProto, shapes: Shapes) -> int:
        return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight]][1:])

    return work


def _transposed(node: onnx.NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: onnx.NodeProto, shapes: Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else 1]


def _matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


MULTIPLY_ADDS: Mapping[str, Callable[[onnx.NodeProto, Shapes], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "FusedConv": _convolution(1),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
}
"""What counts as work: sums of products. All other operators are counted as nothing, as the field does."""


def multiply_adds(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Of one frame; 0 for an operator that is no sum of products or whose shapes each picture decides."""
    work = MULTIPLY_ADDS.get(node.op_type)
    try:
        return work(node, shapes) if work else 0
    except (KeyError, IndexError):
        return 0


def parameter_counts(graph: onnx.GraphProto) -> dict[str, int]:
    """Values of every weight that is no shape or index."""
    indices = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    return {n: count(tensor) for n, tensor in weights(graph).items() if tensor.data_type not in indices}
