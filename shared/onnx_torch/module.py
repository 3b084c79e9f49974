"""Walking an ONNX graph with PyTorch, so that gradients reach its input.

A bundle holds no Python code, only two graphs. Kerckhoffs' attacker has the edge half and may differentiate
it; this module is how.

    bytes -> nodes -> constants folded -> one pass on zeros -> OnnxModule
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from siftfunnel.shared.onnx_torch.call import Call, UnsupportedOperatorError
from siftfunnel.shared.onnx_torch.operators import OPERATORS

STANDARD_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Node:
    """One operation of a graph.

    Attributes:
        name: As the graph names it, for messages.
        operator: Name of the operator, with its domain unless that is ONNX's own.
        attributes: As Python values, tensors as PyTorch tensors.
        inputs: Names of its inputs; empty for an optional one that is left out.
        outputs: Names of its outputs.
        opset: Version of the operator set.
    """

    name: str
    operator: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int

    def run(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values of its outputs."""
        inputs = [values[name] if name else None for name in self.inputs]
        result = OPERATORS[self.operator](Call(self.operator, self.attributes, self.opset, inputs))
        results = result if isinstance(result, tuple) else (result,)
        if len(results) < len([name for name in self.outputs if name]):
            raise UnsupportedOperatorError(
                f"ONNX operator {self.operator} with {len(self.outputs)} outputs is not supported"
            )
        return dict(zip(self.outputs, results, strict=False))


class OnnxModule(nn.Module):
    """A graph as a module; weights are buffers and need no gradient.

    It is called with one tensor for each input and gives one tensor, or a tuple where the graph has several
    outputs.

    Args:
        model: The model, its bytes, or its file.

    Attributes:
        inputs: Names of the inputs.
        outputs: Names of the outputs.

    Raises:
        UnsupportedOperatorError: an operator, or a form of one, that is not known; the text names it.
        ValueError: not a model.

    Example:
        >>> import torch
        >>> from onnx import TensorProto, helper
        >>> ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
        >>> relu = helper.make_node("Relu", ["x"], ["y"])
        >>> graph = helper.make_model(helper.make_graph([relu], "relu", ends[:1], ends[1:]))
        >>> x = torch.tensor([[-1.0, 3.0]], requires_grad=True)
        >>> OnnxModule(graph)(x).sum().backward()
        >>> x.grad.tolist()
        [[0.0, 1.0]]
    """

    def __init__(self, model: bytes | Path | onnx.ModelProto) -> None:
        super().__init__()
        proto = _load(model)
        constants = {tensor.name: _tensor(tensor) for tensor in proto.graph.initializer}
        self.inputs = tuple(value.name for value in proto.graph.input if value.name not in constants)
        self.outputs = tuple(value.name for value in proto.graph.output)
        nodes = list(_nodes(proto))
        _require_known(nodes)
        self._nodes, folded = _fold_constants(nodes, constants)
        self._last_uses = _last_uses(self._nodes, keep=self.outputs)
        self._buffer_names: dict[str, str] = {}
        # sizes and axes are read as Python numbers: on a GPU each would be a round trip
        self._on_cpu: dict[str, Tensor] = {}
        self._store(folded)
        self._try_out(proto.graph)

    def forward(self, *inputs: Tensor) -> Any:
        """The graph's output or outputs; differentiable in the inputs."""
        values = dict(self._on_cpu)
        for name, buffer in self._buffer_names.items():
            values[name] = getattr(self, buffer)
        values.update(zip(self.inputs, inputs, strict=True))
        for node, finished in zip(self._nodes, self._last_uses, strict=True):
            values.update(node.run(values))
            for name in finished:
                del values[name]
        found = tuple(values[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found

    @property
    def buffers_of_constants(self) -> Mapping[str, str]:
        """Names of the buffers that hold floating constants, by the graph's names for these."""
        return self._buffer_names

    def _store(self, constants: Mapping[str, Tensor]) -> None:
        used = {name for node in self._nodes for name in node.inputs} | {*self.outputs}
        for name, value in constants.items():
            if name not in used:
                continue
            if value.is_floating_point():
                self._buffer_names[name] = f"constant_{len(self._buffer_names)}"
                self.register_buffer(self._buffer_names[name], value)
            else:
                self._on_cpu[name] = value

    @torch.no_grad()
    def _try_out(self, graph: Any) -> None:
        """Run on zeros once: a form of an operator that is not known shows when the graph is loaded."""
        entries = [value for value in graph.input if value.name in self.inputs]
        shapes = [[axis.dim_value for axis in entry.type.tensor_type.shape.dim] for entry in entries]
        if all(sizes and all(size > 0 for size in sizes[1:]) for sizes in shapes):
            try:
                self(*(torch.zeros(max(1, sizes[0]), *sizes[1:]) for sizes in shapes))
            except (RuntimeError, IndexError, KeyError, TypeError) as error:
                raise UnsupportedOperatorError(f"the graph does not run in PyTorch: {error}") from error


def _load(model: bytes | Path | onnx.ModelProto) -> Any:
    if isinstance(model, onnx.ModelProto):
        return model
    try:
        return onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    except Exception as error:
        # protobuf's decoding error has no stable place to import it from
        raise ValueError(f"not an ONNX model: {error}") from error


def _tensor(proto: Any) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(proto).copy())


def _attribute(proto: Any) -> Any:
    value = helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    return value.decode() if isinstance(value, bytes) else value


def _nodes(proto: Any) -> Iterator[Node]:
    opset = max(
        (entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), default=17
    )
    for position, node in enumerate(proto.graph.node):
        standard = node.domain in STANDARD_DOMAINS
        yield Node(
            name=node.name or f"number {position}",
            operator=node.op_type if standard else f"{node.domain}::{node.op_type}",
            attributes={entry.name: _attribute(entry) for entry in node.attribute},
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            opset=opset,
        )


def _require_known(nodes: list[Node]) -> None:
    unknown = sorted({node.operator for node in nodes} - set(OPERATORS))
    if unknown:
        raise UnsupportedOperatorError(
            f"ONNX operator {', '.join(unknown)} is not known here; without a differentiable counterpart in "
            "siftfunnel.shared.onnx_torch.operators the graph can only be attacked as a black box"
        )


@torch.no_grad()
def _fold_constants(
    nodes: list[Node], constants: Mapping[str, Tensor]
) -> tuple[list[Node], dict[str, Tensor]]:
    """The nodes that depend on the input, and every constant, those that constant nodes give included."""
    known, left = dict(constants), []
    for node in nodes:
        if all(name in known for name in node.inputs if name):
            known.update(node.run(known))
        else:
            left.append(node)
    return left, known


def _last_uses(nodes: list[Node], keep: tuple[str, ...]) -> list[list[str]]:
    """For each node the values that nobody needs after it, so that they do not stay in memory."""
    seen = {*keep, ""}
    finished: list[list[str]] = []
    for node in reversed(nodes):
        names = dict.fromkeys((*node.inputs, *node.outputs))
        finished.append([name for name in names if name not in seen])
        seen.update(names)
    return finished[::-1]
