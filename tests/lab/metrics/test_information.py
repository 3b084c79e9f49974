import math

import numpy as np
import pytest
import torch
from torch import Tensor

from siftfunnel.lab.metrics.contrastive import info_nce
from siftfunnel.lab.metrics.information import effective_information_mean, entropy_coded_bits
from siftfunnel.shared.manifest import FeatureSpec
from siftfunnel.shared.wire import SealedCodec, calibrate
from siftfunnel.shared.wire.seal import SEAL_BYTES
from tests.lab.metrics.test_pictures import smooth_pictures


def sparse_features(count: int, seed: int, shape: tuple[int, int, int] = (4, 8, 8)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.relu(torch.randn(count, *shape, generator=generator)) * 0.01


def test_effective_information_counts_what_is_not_exactly_zero() -> None:
    z = torch.tensor([[[[0.0, 1e-30], [-2.0, 0.0]]], [[[0.0, 0.0], [0.0, 5.0]]]])
    assert effective_information_mean(z) == 1.5
    assert effective_information_mean(z.numpy()) == 1.5
    assert effective_information_mean(z + 1) == 4
    with pytest.raises(ValueError, match="one or more features"):
        effective_information_mean(torch.zeros(0, 1, 2, 2))


def test_the_bound_lies_just_below_what_the_wire_really_sends() -> None:
    train, test = sparse_features(30, 0), sparse_features(10, 1)
    size = entropy_coded_bits(train, test, bits=6)
    spec = next(spec for spec in calibrate(train.numpy()) if spec.name == "q6")
    codec = SealedCodec(spec, 0, FeatureSpec(4, 8, 8), "0" * 64)
    payload_bits = [8 * len(codec.encode(feature)) for feature in test.numpy()]
    bodies = [bits - 8 * SEAL_BYTES for bits in payload_bits]
    # the coder writes whole words of 32 bits and keeps up to two of state
    assert size.mean_bits <= np.mean(bodies) <= size.mean_bits + 64
    assert size.max_bits <= max(bodies)


def test_the_bound_is_close_to_the_entropy_where_that_is_known() -> None:
    generator = np.random.default_rng(0)
    levels = generator.choice(16, p=np.array([0.25] + [0.05] * 15), size=(400, 1, 16, 16))
    z = (levels / 15).astype(np.float32)
    entropy = 256 * -(0.25 * math.log2(0.25) + 15 * 0.05 * math.log2(0.05))
    size = entropy_coded_bits(z[:300], z[300:], bits=4)
    assert size.mean_bits == pytest.approx(entropy, rel=0.01)
    assert size.mean_bits <= size.p95_bits <= size.max_bits


def test_the_lengths_leave_room_for_every_feature() -> None:
    """Kraft's inequality over all 16 features of one value: a prefix-free code of such lengths exists."""
    levels = 16
    train = np.random.default_rng(0).random((50, 1, 1, 1), dtype=np.float32) ** 3
    train[0] = 1.0
    features = np.arange(levels, dtype=np.float32).reshape(levels, 1, 1, 1) / (levels - 1)
    lengths = [entropy_coded_bits(train, feature[None], bits=4).mean_bits for feature in features]
    assert 0.5 < sum(2.0**-length for length in lengths) <= 1


def test_coarser_steps_and_constant_features_cost_fewer_bits() -> None:
    train, test = sparse_features(20, 0), sparse_features(5, 1)
    by_bits = [entropy_coded_bits(train, test, bits=bits).mean_bits for bits in (4, 5, 6, 7, 8)]
    assert by_bits == sorted(by_bits)
    assert by_bits[-1] < 8 * 256
    constant = torch.zeros(6, 4, 8, 8)
    assert entropy_coded_bits(constant, constant).mean_bits < 8


@pytest.mark.parametrize(
    ("train", "test", "bits", "message"),
    [
        (sparse_features(3, 0), sparse_features(3, 0), 9, "bits must be one of"),
        (sparse_features(3, 0), sparse_features(3, 0, (4, 4, 4)), 8, "one shape"),
        (sparse_features(3, 0) * torch.nan, sparse_features(3, 0), 8, "NaN"),
    ],
)
def test_features_that_cannot_be_coded_are_refused(
    train: Tensor, test: Tensor, bits: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        entropy_coded_bits(train, test, bits=bits)


def test_info_nce_of_the_picture_itself_comes_near_its_ceiling() -> None:
    x = smooth_pictures(400, side=8)
    result = info_nce(x[:320], x[:320], x[320:], x[320:], steps=60, batch=64, width=8, learning_rate=3e-3)
    assert result.ceiling_nats == pytest.approx(math.log(80))
    assert 0.7 * result.ceiling_nats < result.nats <= result.ceiling_nats
    assert result.retrieval_rank1 > 0.7


def test_info_nce_of_unrelated_features_is_not_above_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(200, 1, 4, 4, generator=generator), torch.randn(200, 2, 2, 2, generator=generator)
    result = info_nce(x[:100], z[:100], x[100:], z[100:], steps=20, batch=32, width=8)
    assert result.nats < 0.1
    assert result.retrieval_rank1 < 0.1


@pytest.mark.parametrize("shape", [(12, 4, 4), (2, 16, 16), (5, 1, 1)])
def test_info_nce_takes_features_of_any_size_and_never_passes_its_ceiling(
    shape: tuple[int, int, int],
) -> None:
    x, z = torch.randn(24, 3, 16, 16), torch.randn(24, *shape)
    result = info_nce(x, z, x, z, steps=2, width=8)
    assert result.nats <= result.ceiling_nats
    assert result == info_nce(x, z, x, z, steps=2, width=8)


def test_constant_features_retrieve_at_chance() -> None:
    x, z = torch.randn(24, 1, 8, 8), torch.ones(24, 2, 2, 2)
    result = info_nce(x, z, x, z, steps=1, width=8)
    assert result.retrieval_rank1 == pytest.approx(1 / 24)


def test_too_few_pairs_for_info_nce_are_refused() -> None:
    x = torch.zeros(8, 1, 8, 8)
    with pytest.raises(ValueError, match="20 or more"):
        info_nce(x, x, x, x)
