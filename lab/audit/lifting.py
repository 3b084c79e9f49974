"""The cloud half's first layer, where it is linear and spreads a feature out: an inverter's better start.

A funnel in closed form is a strided convolution on the device and a transposed one in the cloud half, which
is as public as the rest of a bundle. What it gives is the tensor at the cut, in its own places; the feature
itself holds the coefficients of whole patches, which an inverter would have to learn to take apart first.
"""

from collections.abc import Mapping
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from siftfunnel.lab.attacks.victim import Lift
from siftfunnel.lab.audit.layout import MOST_SIDE

SAYS = (
    "inverters start from what the cloud half's first layer, a transposed convolution, makes of the feature"
)
_PASSES_ON = ("Identity", "Cast")


def find_lift(cloud: onnx.ModelProto, feature: tuple[int, int, int], device: torch.device) -> Lift | None:
    """The lift of a cloud half of one input, or None where it does not begin with one.

    Args:
        cloud: The cloud half.
        feature: Channels, height, width of its input.
        device: Where the lift computes.
    """
    graph: Any = cloud.graph
    constants = _constants(graph)
    inputs = [entry.name for entry in graph.input if entry.name not in constants]
    if len(inputs) != 1:
        return None
    node = _first_layer(graph, inputs[0])
    layer = None if node is None else _layer(node, constants, feature[0])
    if layer is None:
        return None
    module: nn.Module = layer.requires_grad_(False)
    height, width = _sides(module, feature)
    if (height, width) <= feature[1:] or min(height // feature[1], width // feature[2]) < 1:
        return None
    fold = -(-max(height, width) // MOST_SIDE)
    if fold > 1:
        if height % fold or width % fold:
            return None
        module = nn.Sequential(module, nn.PixelUnshuffle(fold))
    with torch.no_grad():
        shape = tuple(module(torch.zeros(1, *feature)).shape[1:])
    return Lift(module.eval().to(device), shape, SAYS)


def _sides(module: nn.Module, feature: tuple[int, int, int]) -> tuple[int, int]:
    with torch.no_grad():
        height, width = module(torch.zeros(1, *feature)).shape[2:]
    return int(height), int(width)


def _constants(graph: Any) -> dict[str, Tensor]:
    """Weights by name, those stored in another precision and cast included."""
    known = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            known[node.output[0]] = torch.from_numpy(numpy_helper.to_array(node.attribute[0].t).copy())
        elif node.op_type in _PASSES_ON and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    return known


def _first_layer(graph: Any, name: str) -> Any:
    """The only node that computes with the feature; None where several do."""
    while True:
        takers = [node for node in graph.node if name in node.input]
        if len(takers) != 1:
            return None
        if takers[0].op_type not in _PASSES_ON:
            return takers[0]
        name = takers[0].output[0]


def _layer(node: Any, constants: Mapping[str, Tensor], channels: int) -> nn.ConvTranspose2d | None:
    if node.op_type != "ConvTranspose" or node.input[1] not in constants:
        return None
    told = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    weight = constants[node.input[1]].float()
    plain = {"group": 1, "dilations": [1, 1], "pads": [0, 0, 0, 0], "output_padding": [0, 0]}
    if weight.dim() != 4 or weight.shape[0] != channels or "output_shape" in told:
        return None
    if any(told.get(name, value) != value for name, value in plain.items()):
        return None
    if told.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    bias = constants.get(node.input[2]) if len(node.input) > 2 else None
    layer = nn.ConvTranspose2d(
        channels,
        weight.shape[1],
        kernel_size=(weight.shape[2], weight.shape[3]),
        stride=tuple(told.get("strides", [1, 1])),
        bias=bias is not None,
    )
    layer.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias.float()}))
    return layer
