"""How the attention blocks are written: few nodes, each of a kind that ONNX Runtime runs fast on a CPU.

Each step is exact but for rounding:

* A 7x7 convolution from two maps to one leaves seven of the eight lanes of the CPU's kernel empty. The same
  convolution with eight neighbouring rows as eight output channels, taken every eight rows, fills them.
* A maximum over channels is slow over a single leading axis, so it is taken within groups, then over them.
* A mean over channels is a product with a row of 1/C.
* A gate above 0 scales means and maxima as it scales the map: the third of triplet attention goes into the
  gate before it, and a mean of rows gives the mean of the whole.
* Adding a row gate to a column gate is slow when both are broadcast; one of them is laid out first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siftfunnel.lab.graphs.writer import GraphWriter
from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention

LANES = 8
"""Output channels that a convolution computes at once."""


def phases_of(rows: int) -> int:
    """How many neighbouring rows become channels: the most that divide the number of rows, up to 8.

    Example:
        >>> [phases_of(rows) for rows in (32, 12, 7)]
        [8, 4, 1]
    """
    return next(count for count in (LANES, 4, 2, 1) if rows % count == 0)


def phased_kernel(weight: Tensor, phases: int, *, interleaved: bool) -> Tensor:
    """The kernel that computes ``phases`` neighbouring output rows as channels.

    Args:
        weight: 1 x 2 x K x K, K odd.
        phases: Output rows at once.
        interleaved: The maps' rows alternate in one channel instead of being two channels.

    Returns:
        phases x 2 x (K + phases - 1) x K, or phases x 1 x 2(K + phases - 1) x K when interleaved.
    """
    _, maps, taps, _ = weight.shape
    kernel = weight.new_zeros(phases, maps, taps + phases - 1, taps)
    for phase in range(phases):
        kernel[phase, :, phase : phase + taps] = weight[0]
    return kernel.transpose(1, 2).flatten(1, 2).unsqueeze(1) if interleaved else kernel


def _plane_gate(
    writer: GraphWriter,
    conv: nn.Conv2d,
    maps: str,
    rows: int,
    shape: Sequence[int],
    *,
    interleaved: bool = False,
    gain: float = 1,
) -> str:
    """The gate of a plane: sigmoid of the convolution of its two maps.

    Args:
        writer: Collects the nodes.
        conv: From two maps to one.
        maps: N x 2 x rows x columns, or N x 1 x 2 rows x columns when interleaved.
        rows: Rows of a map.
        shape: What the gate is reshaped to, without the batch axis.
        interleaved: See ``phased_kernel``.
        gain: What the kernel is multiplied by, for maps that were divided by it.
    """
    phases, taps, step = phases_of(rows), conv.kernel_size[0], 1 + interleaved
    kernel = phased_kernel(conv.weight, phases, interleaved=interleaved)
    weight = writer.weight(kernel)
    if gain != 1:
        # between constants: computed once, when the model is loaded
        weight = writer.node("Mul", weight, writer.scalar(gain))
    bias = [] if conv.bias is None else [writer.weight(conv.bias.expand(phases))]
    convolved = writer.node(
        "Conv",
        maps,
        weight,
        *bias,
        kernel_shape=list(kernel.shape[2:]),
        strides=[step * phases, 1],
        pads=[step * (taps // 2), taps // 2] * 2,
    )
    gate = writer.node("Sigmoid", convolved)
    if 1 < phases < rows:
        gate = writer.node("Transpose", gate, perm=[0, 2, 1, 3])
    return writer.node("Reshape", gate, writer.integers(0, *shape))


def _excitation(writer: GraphWriter, excite: SqueezeExcite, mean_NC: str) -> str:
    hidden = writer.node("Relu", _linear(writer, excite.squeeze.weight, mean_NC))
    return writer.node("Sigmoid", _linear(writer, excite.excite.weight, hidden))


def _linear(writer: GraphWriter, weight: Tensor, x: str) -> str:
    return writer.node("Gemm", x, writer.weight(weight), transB=1)


def write_triplet(
    writer: GraphWriter, triplet: TripletAttention, excite: SqueezeExcite | None, x: str, shape: Sequence[int]
) -> str:
    """Triplet attention, behind a squeeze-and-excitation if there is one.

    Args:
        writer: Collects the nodes.
        triplet: The block, its normalisations folded.
        excite: The block before it.
        x: Name of the map, N x C x H x W.
        shape: (C, H, W).
    """
    channels, height, width = shape
    third = writer.scalar(1 / 3)
    mean_NCH = writer.node("ReduceMean", x, axes=[3], keepdims=0)
    if excite is not None:
        gate_NC = _excitation(writer, excite, writer.node("ReduceMean", mean_NCH, axes=[2], keepdims=0))
        gate_NC1 = writer.node("Unsqueeze", writer.node("Mul", gate_NC, third), writer.integers(2))
        mean_NCH = writer.node("Mul", mean_NCH, gate_NC1)
        x = writer.node("Mul", x, writer.node("Unsqueeze", gate_NC1, writer.integers(3)))
    maximum_NCH, maximum_NCW = (writer.node("ReduceMax", x, axes=[axis], keepdims=0) for axis in (3, 2))
    mean_NCW = writer.node("ReduceMean", x, axes=[2], keepdims=0)
    rows_N2CH = _interleaved(writer, maximum_NCH, mean_NCH, channels, height)
    rows_N2CW = _interleaved(writer, maximum_NCW, mean_NCW, channels, width)
    gain = 1 if excite is None else 3
    by_height, by_width = (channels, height, 1), (channels, 1, width)
    gates = [
        _plane_gate(
            writer, triplet.over_width.conv, rows_N2CH, channels, by_height, interleaved=True, gain=gain
        ),
        _plane_gate(
            writer, triplet.over_height.conv, rows_N2CW, channels, by_width, interleaved=True, gain=gain
        ),
        _plane_gate(
            writer,
            triplet.over_channels.conv,
            _channel_maps(writer, x, shape),
            height,
            (1, height, width),
            gain=gain,
        ),
    ]
    if excite is None:
        gates = [writer.node("Mul", gate, third) for gate in gates]
    over_width, over_height, over_channels = gates
    laid_out = writer.node("Expand", over_height, writer.integers(1, 1, height, 1))
    total = writer.node("Add", writer.node("Add", laid_out, over_width), over_channels)
    return writer.node("Mul", x, total)


def _interleaved(writer: GraphWriter, maximum: str, mean: str, channels: int, length: int) -> str:
    """Two maps N x C x length with their rows in turn, N x 1 x 2C x length."""
    both = writer.node("Concat", maximum, mean, axis=2)
    return writer.node("Reshape", both, writer.integers(0, 1, 2 * channels, length))


def _channel_maps(writer: GraphWriter, x: str, shape: Sequence[int]) -> str:
    """Maximum and mean over the channels, N x 2 x H x W."""
    channels, height, width = shape
    groups = phases_of(channels)
    in_groups = writer.node("Reshape", x, writer.integers(0, groups, channels // groups, height * width))
    of_groups = writer.node("ReduceMax", in_groups, axes=[2], keepdims=0)
    maximum = writer.node("ReduceMax", of_groups, axes=[1], keepdims=1)
    rows = writer.node("Reshape", x, writer.integers(0, channels, height * width))
    mean = writer.node("MatMul", writer.constant(torch.full((1, channels), 1 / channels)), rows)
    both = writer.node("Concat", maximum, mean, axis=1)
    return writer.node("Reshape", both, writer.integers(0, 2, height, width))


def write_cbam(
    writer: GraphWriter, cbam: CBAM, excite: SqueezeExcite | None, x: str, shape: Sequence[int]
) -> str:
    """CBAM, behind a squeeze-and-excitation if there is one; arguments as for ``write_triplet``.

    Both gates over channels are multiplied before they meet the map. The shared network sees mean and maximum
    at once: its first matrix stands twice on the diagonal, its second twice side by side.
    """
    _, height, width = shape
    pooled = [writer.node(reduction, x, axes=[2, 3], keepdims=0) for reduction in ("ReduceMean", "ReduceMax")]
    gates = []
    if excite is not None:
        gates.append(_excitation(writer, excite, pooled[0]))
        pooled = [writer.node("Mul", value, gates[0]) for value in pooled]
    inner, outer = (cbam.shared.get_parameter(name) for name in ("0.weight", "2.weight"))
    both = writer.node("Concat", *pooled, axis=1)
    hidden = writer.node("Relu", _linear(writer, _twice_on_diagonal(inner), both))
    summed = _linear(writer, torch.cat((outer, outer), dim=1), hidden)
    gates.append(writer.node("Sigmoid", summed))
    gate_NC = gates[0] if len(gates) == 1 else writer.node("Mul", *gates)
    y = writer.node("Mul", x, writer.node("Unsqueeze", gate_NC, writer.integers(2, 3)))
    maps = [writer.node(reduction, y, axes=[1], keepdims=1) for reduction in ("ReduceMax", "ReduceMean")]
    # CBAM's kernel expects the mean first
    both = writer.node("Concat", *reversed(maps), axis=1)
    gate = _plane_gate(writer, cbam.spatial, both, height, (1, height, width))
    return writer.node("Mul", y, gate)


def _twice_on_diagonal(matrix: Tensor) -> Tensor:
    nothing = torch.zeros_like(matrix)
    return torch.cat((torch.cat((matrix, nothing), dim=1), torch.cat((nothing, matrix), dim=1)))
