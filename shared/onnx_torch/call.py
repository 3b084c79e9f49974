"""A node on its way through the interpreter: operator, attributes and the values of its inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


class UnsupportedOperatorError(ValueError):
    """An operator, or a form of one, that has no differentiable counterpart here; the text names it."""


@dataclass(frozen=True)
class Call:
    """A node that is being computed.

    Attributes:
        operator: Name of the operator.
        attributes: Its attributes as Python values.
        opset: Version of the operator set.
        inputs: Values of its inputs; None for an optional one that is left out.
    """

    operator: str
    attributes: Mapping[str, Any]
    opset: int
    inputs: Sequence[Tensor | None]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or a default."""
        return self.attributes.get(name, default)

    def has(self, position: int) -> bool:
        """Whether an optional input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def optional(self, position: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def tensor(self, position: int = 0) -> Tensor:
        """An input that must be there."""
        value = self.optional(position)
        if value is None:
            raise self.unsupported(f"without input {position}")
        return value

    def integers(self, name: str, position: int) -> list[int] | None:
        """Integers that stand in an attribute or, in later opsets, in an input; None if in neither."""
        if name in self.attributes:
            return list(self.attributes[name])
        value = self.optional(position)
        return None if value is None else [int(v) for v in value.flatten().tolist()]

    def unsupported(self, how: str) -> UnsupportedOperatorError:
        """The error to raise about a form of this operator."""
        return UnsupportedOperatorError(f"ONNX operator {self.operator} {how} is not supported")


Result = Tensor | tuple[Tensor, ...]
