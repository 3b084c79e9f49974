"""What a feature says of its picture, by measures that look at neither attack nor answer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.metrics.contrastive import info_nce
from siftfunnel.lab.metrics.information import effective_information_mean, entropy_coded_bits

Pairs = tuple[Tensor, Tensor]
"""Pictures as critics take them, and what an eavesdropper hears of them."""


def _whole(z_NCHW: Tensor) -> Sequence[Tensor]:
    return (z_NCHW,)


def information_of(
    known: Pairs,
    measured: Pairs,
    *,
    steps: int,
    seed: int,
    device: torch.device,
    tensors: Callable[[Tensor], Sequence[Tensor]] = _whole,
) -> dict[str, Any]:
    """The paper's count, a lower bound by a critic, and an upper bound by entropy coding.

    Args:
        known: Pairs that the critic trains on and that the code's tables come from.
        measured: Pairs that neither has seen.
        steps: The critic's training steps.
        seed: Of the critic.
        device: Where it trains.
        tensors: The tensors of a frame, where it has several; no frame exceeds the sums of their bits.
    """
    torch.manual_seed(seed)
    apart = tensors(measured[1])
    coded = [entropy_coded_bits(*pair) for pair in zip(tensors(known[1]), apart, strict=True)]
    contrast = info_nce(*known, *measured, steps=steps, seed=seed, device=device)
    return {
        "effective_information_mean": sum(effective_information_mean(values) for values in apart),
        "feature_values": sum(values[0].numel() for values in apart),
        "info_nce": {"nats": contrast.nats, "ceiling_nats": contrast.ceiling_nats},
        "retrieval_rank1_from_feature": contrast.retrieval_rank1,
        "entropy_coded_bits": {
            "mean": sum(each.mean_bits for each in coded),
            "p95": sum(each.p95_bits for each in coded),
            "max": sum(each.max_bits for each in coded),
        },
    }
