import pytest
import torch
from torch import Tensor
from torch.nn import functional

from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention, convolve_two_maps
from siftfunnel.lab.networks.split import count_parameters


def literal_gate(x: Tensor, weight: Tensor, norm: torch.nn.BatchNorm2d) -> Tensor:
    """A gate over the first axis after the batch, as published."""
    maps = torch.cat((x.max(dim=1, keepdim=True).values, x.mean(dim=1, keepdim=True)), dim=1)
    return x * torch.sigmoid(norm(functional.conv2d(maps, weight, padding=3)))


def literal_triplet(x_NCHW: Tensor, block: TripletAttention) -> Tensor:
    """Triplet attention with every permutation written out."""
    height, width, channels = block.over_height, block.over_width, block.over_channels
    x_NHCW = x_NCHW.permute(0, 2, 1, 3)
    over_height = literal_gate(x_NHCW, height.conv.weight, height.norm).permute(0, 2, 1, 3)
    x_NWHC = x_NCHW.permute(0, 3, 2, 1)
    # ours stores this plane as (C, H), the published form as (H, C): the kernel is transposed
    over_width = literal_gate(x_NWHC, width.conv.weight.transpose(2, 3), width.norm).permute(0, 3, 2, 1)
    over_channels = literal_gate(x_NCHW, channels.conv.weight, channels.norm)
    return (over_height + over_width + over_channels) / 3


def test_squeeze_excite_has_the_parameters_of_the_paper() -> None:
    assert count_parameters(SqueezeExcite(128, reduction=32)) == 1024
    assert count_parameters(SqueezeExcite(12, reduction=4)) == 72


def test_triplet_attention_has_300_parameters() -> None:
    assert count_parameters(TripletAttention()) == 300


def test_cbam_has_the_parameters_of_the_paper() -> None:
    assert count_parameters(CBAM(12, reduction=6)) == 48 + 98


@pytest.mark.parametrize("training", [True, False])
def test_triplet_attention_equals_the_permuted_form(training: bool) -> None:
    torch.manual_seed(0)
    block = TripletAttention().train(training)
    x = torch.randn(3, 5, 9, 7)
    torch.testing.assert_close(block(x), literal_triplet(x, block), atol=1e-6, rtol=1e-5)


def test_triplet_attention_has_the_gradient_of_the_permuted_form() -> None:
    torch.manual_seed(0)
    block = TripletAttention()
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    ours = torch.autograd.grad(block(x).square().sum(), (x, *block.parameters()))
    literal = torch.autograd.grad(literal_triplet(x, block).square().sum(), (x, *block.parameters()))
    for one, other in zip(ours, literal, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 2, 32, 16), (1, 2, 5, 3), (3, 2, 1, 9)])
def test_the_banded_product_is_the_convolution(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    maps, weight = torch.randn(shape), torch.randn(1, 2, 7, 7)
    torch.testing.assert_close(
        convolve_two_maps(maps, weight), functional.conv2d(maps, weight, padding=3), atol=1e-5, rtol=1e-5
    )


def test_squeeze_excite_gates_each_channel_by_the_means() -> None:
    torch.manual_seed(0)
    block = SqueezeExcite(8, reduction=4)
    x = torch.randn(2, 8, 3, 3)
    w1, w2 = block.squeeze.weight, block.excite.weight
    for n in range(2):
        gate = torch.sigmoid(w2 @ (w1 @ x[n].mean(dim=(1, 2))).clamp_min(0))
        for c in range(8):
            torch.testing.assert_close(block(x)[n, c], x[n, c] * gate[c])


def test_cbam_gates_channels_then_places() -> None:
    torch.manual_seed(0)
    block = CBAM(6, reduction=3)
    x = torch.randn(1, 6, 5, 5)
    first, _, second = block.shared
    average, maximum = x[0].mean(dim=(1, 2)), x[0].amax(dim=(1, 2))
    logits = sum(
        (second.weight @ (first.weight @ v).clamp_min(0) for v in (average, maximum)), torch.zeros(())
    )
    y = x[0] * torch.sigmoid(logits)[:, None, None]
    maps = torch.stack((y.mean(dim=0), y.amax(dim=0)))[None]
    place = torch.sigmoid(functional.conv2d(maps, block.spatial.weight, padding=3))[0]
    torch.testing.assert_close(block(x)[0], y * place)


@pytest.mark.parametrize("block", [SqueezeExcite, CBAM])
def test_a_reduction_that_leaves_no_hidden_unit_is_refused(block: type) -> None:
    with pytest.raises(ValueError, match="no hidden unit"):
        block(4, reduction=8)
