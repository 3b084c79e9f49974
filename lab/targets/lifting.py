"""The cloud half's first layer, where it is linear and spreads a feature out: an inverter's better start.

A funnel in closed form is a strided convolution on the device and a transposed one in the cloud half, which
is as public as the rest of a bundle. What it gives is the tensor at the cut, in its own places; the feature
itself holds the coefficients of whole patches, which an inverter would have to learn to take apart first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.attacks.victim import Lift
from siftfunnel.lab.networks.rearranged import Parted, Rearranged
from siftfunnel.lab.targets.layout import FeatureLayout
from siftfunnel.shared.tensors import TensorSpec

SAYS = (
    "inverters start from what the cloud half's first layer, a transposed convolution, makes of the feature"
)
_PASSES_ON = ("Identity", "Cast")


def find_lift(
    cloud: onnx.ModelProto, tensors: Sequence[TensorSpec], layout: FeatureLayout, device: torch.device
) -> Lift | None:
    """The lift of a cloud half, or None where none of its inputs goes into such a layer.

    Args:
        cloud: The cloud half.
        tensors: What it takes; the name of a single one does not matter.
        layout: From the feature as it is packed to the maps that the lift takes.
        device: Where the lift computes.
    """
    graph: Any = cloud.graph
    constants = _constants(graph)
    inputs = [entry.name for entry in graph.input if entry.name not in constants]
    names = inputs if len(tensors) == 1 else [tensor.name for tensor in tensors]
    layers = [
        _spreading(graph, name, constants, tensor.shape)
        for name, tensor in zip(names, tensors, strict=True)
        if name in inputs
    ]
    if len(layers) != len(inputs) or not any(layer is not None for layer in layers):
        return None
    if layout.is_identity and layers[0] is not None:
        whole = FeatureLayout(_shape_after(layers[0], tensors[0].shape), layout.image)
        if whole.is_identity:
            return _lift_of_one(layers[0], whole, device)
    return _lift_of_several(layers, tensors, layout, device)


def _lift_of_one(layer: nn.Module, whole: FeatureLayout, device: torch.device) -> Lift:
    """The layer as it is; as large as the picture, its places stand as channels in a quarter of them.

    An inverter's blocks at the picture's own side cost four times as much and have nothing to gain there.
    """
    channels, height, width = whole.maps
    if (height, width) != whole.image or height % 2 or width % 2:
        return Lift(layer.to(device), whole.maps, SAYS)
    maps = (4 * channels, height // 2, width // 2)
    folded = Rearranged(_places(whole.maps, lambda z: functional.pixel_unshuffle(z, 2)), maps)
    return Lift(nn.Sequential(layer, folded).eval().to(device), maps, SAYS)


def _lift_of_several(
    layers: Sequence[nn.ConvTranspose2d | None],
    tensors: Sequence[TensorSpec],
    layout: FeatureLayout,
    device: torch.device,
) -> Lift:
    """Maps taken apart into tensors, each through its layer, and all brought to one grid again."""
    shapes = [
        tensor.shape if layer is None else _shape_after(layer, tensor.shape)
        for layer, tensor in zip(layers, tensors, strict=True)
    ]
    sizes = [tensor.size for tensor in tensors]
    parted = Parted(
        sizes,
        [
            None if layer is None else (tuple(tensor.shape), layer)
            for layer, tensor in zip(layers, tensors, strict=True)
        ],
    )
    lifted = sum(math.prod(shape) for shape in shapes)
    whole = FeatureLayout((lifted, 1, 1), layout.image, tuple(shapes))
    back = _places(layout.maps, layout.to_own)
    modules = (
        Rearranged(back, (sum(sizes), 1, 1)),
        parted,
        Rearranged(_places(whole.own, whole.to_maps), whole.maps),
    )
    return Lift(nn.Sequential(*modules).eval().to(device), whole.maps, SAYS)


def _places(shape: tuple[int, ...], arrange: Callable[[Tensor], Tensor]) -> Tensor:
    """Which value stands where after ``arrange``; float64 holds every index."""
    values = torch.arange(math.prod(shape), dtype=torch.float64)
    return arrange(values.reshape(1, *shape)).flatten()


def maps_of(layout: FeatureLayout) -> Rearranged:
    """A layout's way to maps as a layer that can be written into a graph."""
    return Rearranged(_places(layout.own, layout.to_maps), layout.maps)


def _spreading(
    graph: Any, name: str, constants: Mapping[str, Tensor], shape: tuple[int, ...]
) -> nn.ConvTranspose2d | None:
    """The layer that a tensor goes into, where it is one that spreads it over more places."""
    node = _first_layer(graph, name) if len(shape) == 3 else None
    layer = None if node is None else _layer(node, constants, shape[0])
    if layer is None:
        return None
    height, width = _shape_after(layer, shape)[1:]
    if height * width <= shape[1] * shape[2]:
        return None
    return layer.requires_grad_(False).eval()


@torch.no_grad()
def _shape_after(layer: nn.ConvTranspose2d, shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = layer(torch.zeros(1, *shape)).shape[1:]
    return int(channels), int(height), int(width)


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
