"""From a bundle back to a network that can be trained on: what export folded is unfolded.

A folded convolution goes back into the convolution, and the normalisation behind it is set to the statistics
of some pictures with the scale and shift that undo it: in evaluation the network computes what the bundle
computes, in training it behaves as a network with normalisation does. One linear layer that was two becomes
their copies side by side with the mean behind them, so that the dropout between them does what it is for.
"""

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.graphs.writer import GraphWriter
from siftfunnel.lab.graphs.writing import emit, record_shapes
from siftfunnel.lab.networks.attention import CBAM, PlaneGate
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.bundle import Bundle

TOLERANCE = 1e-3


class _Recorder(GraphWriter):
    """Notes what a graph stores, in the order in which it stores it."""

    def __init__(self, shapes: Mapping[nn.Module, tuple[int, ...]]) -> None:
        super().__init__(half_weights=True, shapes=shapes)
        self.recorded: list[Tensor] = []

    def weight(self, value: Tensor) -> str:
        self.recorded.append(value.clone())
        return self._name("weight")


def _as_written(folded: nn.Module, input_shape: tuple[int, ...]) -> list[Tensor]:
    """What today's graphs store: kernels of gates repeated for several rows, with zeros between."""
    recorder = _Recorder(record_shapes(folded, input_shape)[0])
    emit(recorder, folded, "input")
    return recorder.recorded


def _as_first_written(module: nn.Module) -> list[Tensor]:
    """What the graphs of the first bundles store: each layer's own weights."""
    if isinstance(module, CBAM):
        shared = [parameter.data for parameter in module.shared.parameters()]
        return [*shared, *shared, module.spatial.weight.data]
    children = list(module.children())
    if not children:
        return [parameter.data.clone() for parameter in module.parameters()]
    return [weight for child in children for weight in _as_first_written(child)]


@torch.no_grad()
def read_folded(module: nn.Module, path: Path, input_shape: tuple[int, ...]) -> nn.Module:
    """A folded copy of a network's half with the weights that a bundle's graph stores.

    Every weight is given a number of its own; where the graph's writer then puts a number is where the graph
    holds that weight.

    Raises:
        ValueError: the graph is of another network.
    """
    folded = folded_copy(module)
    parameters = list(folded.parameters())
    count = 0
    for parameter in parameters:
        parameter.copy_(torch.arange(count + 1, count + 1 + parameter.numel()).view_as(parameter))
        count += parameter.numel()
    stored = [
        torch.from_numpy(numpy_helper.to_array(tensor).astype("float32"))
        for tensor in onnx.load_model_from_string(path.read_bytes()).graph.initializer
        if tensor.name.startswith("weight_")
    ]
    shapes = [value.shape for value in stored]
    for places in (_as_written(folded, input_shape), _as_first_written(folded)):
        if [place.shape for place in places] == shapes:
            break
    else:
        raise ValueError(f"{path} holds another network: its weights have other shapes or another order")
    values = torch.full((count + 1,), torch.nan)
    for place, value in zip(places, stored, strict=True):
        values[place.flatten().long()] = value.flatten()
    if values[1:].isnan().any():
        raise ValueError(f"{path} lacks weights of this network")
    for parameter in parameters:
        parameter.copy_(values[parameter.long()])
    return folded


def _unfold_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d, folded: nn.Conv2d) -> None:
    assert folded.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight.copy_(folded.weight)
    if conv.bias is not None:
        conv.bias.zero_()
    norm.weight.fill_(1)
    norm.bias.copy_(folded.bias)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)


def _unfold_linear(first: nn.Linear, second: nn.Linear, folded: nn.Linear) -> None:
    assert first.bias is not None
    assert second.bias is not None
    classes = folded.out_features
    copies = first.out_features // classes
    assert folded.bias is not None
    first.weight.copy_(folded.weight.repeat(copies, 1))
    first.bias.copy_(folded.bias.repeat(copies))
    second.weight.copy_(torch.eye(classes).repeat(1, copies) / copies)
    second.bias.zero_()


def _unfold_sequence(live: nn.Sequential, folded: nn.Sequential) -> None:
    left = list(folded)
    children = [child for child in live if not isinstance(child, nn.Dropout | nn.Identity)]
    while children:
        child, source = children.pop(0), left.pop(0)
        following = children[0] if children else None
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            assert isinstance(source, nn.Conv2d)
            _unfold_norm(child, following, source)
            children.pop(0)
        elif isinstance(child, nn.Linear) and isinstance(following, nn.Linear):
            assert isinstance(source, nn.Linear)
            _unfold_linear(child, following, source)
            children.pop(0)
        else:
            _unfold(child, source)


def _unfold(live: nn.Module, folded: nn.Module) -> None:
    if isinstance(live, nn.Sequential):
        assert isinstance(folded, nn.Sequential)
        _unfold_sequence(live, folded)
    elif isinstance(live, PlaneGate):
        assert isinstance(folded, PlaneGate)
        _unfold_norm(live.conv, live.norm, folded.conv)
    elif next(live.named_children(), None) is not None and any(
        isinstance(child, PlaneGate | nn.BatchNorm2d) for child in live.modules()
    ):
        for name, child in live.named_children():
            _unfold(child, getattr(folded, name))
    else:
        live.load_state_dict(folded.state_dict())


@torch.no_grad()
def _take_statistics(network: SplitNetwork, x_NCHW: Tensor) -> None:
    """Give every normalisation the statistics of its input, and undo them by its scale and shift."""
    hooks = []

    def take(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(take))
    network.cloud(network.edge(x_NCHW))
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def load_from_bundle(network: SplitNetwork, bundle: Bundle, x_NCHW: Tensor) -> None:
    """Give a network the weights of a bundle of the same architecture.

    Args:
        network: Fresh, of the bundle's family, variant, width and input size; changed in place.
        bundle: Checked, with both halves.
        x_NCHW: Some hundred normalised pictures, for the statistics of the normalisations.

    Raises:
        ValueError: the bundle holds another network, or the unfolded one computes something else.
    """
    network.eval()
    halves = {"edge": network.edge, "cloud": network.cloud}
    shapes = {"edge": tuple(x_NCHW.shape[1:]), "cloud": network.feature_shape}
    folded = {
        name: read_folded(half, bundle.path(f"{name}.onnx"), shapes[name]) for name, half in halves.items()
    }
    for name, half in halves.items():
        _unfold(half, folded[name])
    wanted = folded["cloud"](folded["edge"](x_NCHW))
    _take_statistics(network, x_NCHW)
    made = network.cloud(network.edge(x_NCHW))
    difference = float((made - wanted).abs().max() / wanted.abs().max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"bundle {bundle.manifest.name}: the unfolded network's logits differ by {difference:.1e} of the "
            "largest; it was made by another version"
        )
