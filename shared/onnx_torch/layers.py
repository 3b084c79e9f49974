"""The operators with weights or windows: convolutions, pools, normalisations, products and padding."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from siftfunnel.shared.onnx_torch.call import Call

CONVOLUTIONS: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED: dict[int, Any] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
MAX_POOLS: dict[int, Any] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
AVERAGE_POOLS: dict[int, Any] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


def _pads(call: Call, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis."""
    rank = len(kernel)
    mode = call.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        pads = list(call.get("pads", [0] * (2 * rank))) if mode == "NOTSET" else [0] * (2 * rank)
        return pads[:rank], pads[rank:]
    strides = call.get("strides", [1] * rank)
    dilations = call.get("dilations", [1] * rank)
    totals = [
        max((math.ceil(size / step) - 1) * step + (taps - 1) * gap + 1 - size, 0)
        for size, step, taps, gap in zip(spatial, strides, kernel, dilations, strict=True)
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _pad_around(x: Tensor, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad the last axes with a constant."""
    if not any(before) and not any(after):
        return x
    pairs = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    return functional.pad(x, pairs, value=value)


def conv(call: Call) -> Tensor:
    """A convolution of one to three axes; padding that differs between the sides is added first."""
    x, weight = call.tensor(0), call.tensor(1)
    kernel = weight.shape[2:]
    rank = len(kernel)
    before, after = _pads(call, x.shape[2:], kernel)
    symmetric = before == after
    return CONVOLUTIONS[rank](  # type: ignore[no-any-return]
        x if symmetric else _pad_around(x, before, after),
        weight,
        call.optional(2),
        stride=call.get("strides", [1] * rank),
        padding=before if symmetric else 0,
        dilation=call.get("dilations", [1] * rank),
        groups=call.get("group", 1),
    )


def conv_transpose(call: Call) -> Tensor:
    """A transposed convolution with the same padding on both sides."""
    x, weight = call.tensor(0), call.tensor(1)
    rank = weight.dim() - 2
    before, after = _pads(call, x.shape[2:], weight.shape[2:])
    if before != after or "output_shape" in call.attributes or call.get("auto_pad", "NOTSET") != "NOTSET":
        raise call.unsupported("with asymmetric or automatic padding")
    return TRANSPOSED[rank](  # type: ignore[no-any-return]
        x,
        weight,
        call.optional(2),
        stride=call.get("strides", [1] * rank),
        padding=before,
        output_padding=call.get("output_padding", [0] * rank),
        dilation=call.get("dilations", [1] * rank),
        groups=call.get("group", 1),
    )


def max_pool(call: Call) -> Tensor:
    """The maximum in each window; padding never wins."""
    x, kernel = call.tensor(), call.attributes["kernel_shape"]
    rank = len(kernel)
    before, after = _pads(call, x.shape[2:], kernel)
    return MAX_POOLS[rank](  # type: ignore[no-any-return]
        _pad_around(x, before, after, -math.inf),
        kernel,
        stride=call.get("strides", [1] * rank),
        dilation=call.get("dilations", [1] * rank),
        ceil_mode=bool(call.get("ceil_mode", 0)),
    )


def average_pool(call: Call) -> Tensor:
    """The mean in each window, of the values that are there unless padding is to be counted."""
    x, kernel = call.tensor(), call.attributes["kernel_shape"]
    rank = len(kernel)
    if any(gap != 1 for gap in call.get("dilations", [1] * rank)):
        raise call.unsupported("with dilation")
    before, after = _pads(call, x.shape[2:], kernel)
    stride, ceil = call.get("strides", [1] * rank), bool(call.get("ceil_mode", 0))
    pooled = AVERAGE_POOLS[rank](_pad_around(x, before, after), kernel, stride, ceil_mode=ceil)
    if call.get("count_include_pad", 0) or not any((*before, *after)):
        return pooled  # type: ignore[no-any-return]
    inside = _pad_around(torch.ones_like(x[:1, :1]), before, after)
    return pooled / AVERAGE_POOLS[rank](inside, kernel, stride, ceil_mode=ceil)  # type: ignore[no-any-return]


def _spatial_axes(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def gemm(call: Call) -> Tensor:
    """``alpha A B + beta C``."""
    a, b = call.tensor(0), call.tensor(1)
    a = a.T if call.get("transA", 0) else a
    b = b.T if call.get("transB", 0) else b
    product = call.get("alpha", 1.0) * (a @ b) if call.get("alpha", 1.0) != 1 else a @ b
    if not call.has(2):
        return product
    beta = call.get("beta", 1.0)
    return product + (call.tensor(2) if beta == 1 else beta * call.tensor(2))


def batch_norm(call: Call) -> Tensor:
    """Normalise with stored statistics."""
    if call.get("training_mode", 0):
        raise call.unsupported("in training mode")
    x, weight, bias, mean, variance = (call.tensor(position) for position in range(5))
    return functional.batch_norm(x, mean, variance, weight, bias, eps=call.get("epsilon", 1e-5))


def instance_norm(call: Call) -> Tensor:
    """Normalise each channel of each picture by its own mean and variance."""
    x, weight, bias = (call.tensor(position) for position in range(3))
    axes = _spatial_axes(x)
    mean = x.mean(dim=axes, keepdim=True)
    variance = (x - mean).square().mean(dim=axes, keepdim=True)
    shape = (1, -1, *(1 for _ in axes))
    normal = (x - mean) * torch.rsqrt(variance + call.get("epsilon", 1e-5))
    return normal * weight.view(shape) + bias.view(shape)


def layer_norm(call: Call) -> Tensor:
    """Normalise over the axes from ``axis`` on."""
    x = call.tensor()
    shape = list(x.shape[call.get("axis", -1) :])
    return functional.layer_norm(x, shape, call.tensor(1), call.optional(2), call.get("epsilon", 1e-5))


def pad(call: Call) -> Tensor:
    """Pad with a constant, the mirror image or the edge value."""
    x, pads = call.tensor(), call.integers("pads", 1) or []
    axes = call.integers("axes", 3) or list(range(x.dim()))
    before, after = [0] * x.dim(), [0] * x.dim()
    for axis, first, last in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = first, last
    mode = call.get("mode", "constant")
    if mode == "constant":
        value = float(call.tensor(2)) if call.has(2) else call.get("value", 0.0)
        return _pad_around(x, before, after, value)
    if mode not in ("reflect", "edge") or any((*before[:2], *after[:2])):
        raise call.unsupported(f"in mode {mode}")
    pairs = [side for axis in range(x.dim() - 1, 1, -1) for side in (before[axis], after[axis])]
    return functional.pad(x, pairs, mode="reflect" if mode == "reflect" else "replicate")


_LINEAR: dict[int, str] = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resize(call: Call) -> Tensor:
    """Another size of the spatial axes, as PyTorch has it: nearest, linear, and cubic of pictures."""
    x = call.tensor()
    # before opset 11, and in Upsample, scales come second
    scales = call.optional(1 if call.operator == "Upsample" or call.opset < 11 else 2)
    sizes = call.optional(3)
    if "axes" in call.attributes or call.get("antialias", 0):
        raise call.unsupported("with axes or antialiasing")
    if sizes is not None:
        wanted = [int(size) for size in sizes.tolist()]
    elif scales is not None:
        wanted = [math.floor(n * float(scale)) for n, scale in zip(x.shape, scales.tolist(), strict=True)]
    else:
        raise call.unsupported("without scales or sizes")
    if wanted[:2] != list(x.shape[:2]):
        raise call.unsupported("of batch or channels")
    return _interpolate(call, x, wanted[2:])


def _interpolate(call: Call, x: Tensor, size: list[int]) -> Tensor:
    oldest = call.operator == "Upsample" or call.opset < 11
    where = call.get("coordinate_transformation_mode", "asymmetric" if oldest else "half_pixel")
    mode, centred = call.get("mode", "nearest"), ("half_pixel", "pytorch_half_pixel")
    if mode == "nearest":
        whole = all(new % old == 0 for new, old in zip(size, x.shape[2:], strict=True))
        floor = call.get("nearest_mode", "floor" if oldest else "round_prefer_floor") == "floor"
        if (where == "asymmetric" and floor) or (where in centred and whole and not floor):
            return functional.interpolate(x, size, mode="nearest")
    if mode == "linear" and where in (*centred, "align_corners"):
        return functional.interpolate(x, size, mode=_LINEAR[len(size)], align_corners=where not in centred)
    plain = call.get("cubic_coeff_a", -0.75) == -0.75 and not call.get("exclude_outside", 0)
    if mode == "cubic" and plain and where in (*centred, "align_corners") and len(size) == 2:
        return functional.interpolate(x, size, mode="bicubic", align_corners=where not in centred)
    raise call.unsupported(f"in mode {mode} with {where} coordinates")


def group_norm(call: Call) -> Tensor:
    """Normalise groups of channels; weight and bias for each channel, or before opset 21 for each group."""
    x, weight, bias = (call.tensor(position) for position in range(3))
    groups = call.attributes["num_groups"]
    if call.opset < 21:
        weight, bias = (v.repeat_interleave(x.shape[1] // groups) for v in (weight, bias))
    return functional.group_norm(x, groups, weight, bias, call.get("epsilon", 1e-5))
