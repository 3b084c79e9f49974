"""Finding the right picture in a gallery: the one leak that a low PSNR does not hide."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from siftfunnel.lab.metrics.arrays import Array, to_tensor

Distance = Literal["euclidean", "cosine"]

_QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class Retrieval:
    """How often the true partner is the nearest.

    Attributes:
        rank1: Share of queries, 0 to 1.
        chance: What guessing gives, 1 / gallery.
        gallery: Number of candidates.
    """

    rank1: float
    chance: float
    gallery: int


def first_place_credit(similarity_QN: Tensor, own_Q: Tensor) -> Tensor:
    """1 where a query's own candidate is the single most similar, 1 / ties where it shares the first place.

    Sharing keeps an answer that never changes at chance instead of at the first index's luck.

    Example:
        >>> first_place_credit(torch.tensor([[5.0, 1.0], [2.0, 2.0]]), torch.tensor([0, 1])).tolist()
        [1.0, 0.5]
    """
    is_first = similarity_QN == similarity_QN.amax(dim=1, keepdim=True)
    own = is_first.gather(1, own_Q[:, None]).squeeze(1)
    return own.double() / is_first.sum(dim=1).double()


def retrieval(query_Nd: Array, gallery_Nd: Array, *, distance: Distance = "euclidean") -> Retrieval:
    """Nearest neighbour of each query in the gallery; the true partner is at the same index.

    Both sides are flattened and standardised per dimension with the gallery's statistics; a dimension that
    never changes in the gallery is only centred.

    Args:
        query_Nd: What the attacker has, N x anything: restored pictures, or features.
        gallery_Nd: Candidates, N x the same.
        distance: ``cosine`` forgives a restored picture its lower contrast.

    Raises:
        ValueError: shapes that differ, an unknown distance, NaN.

    Example:
        >>> retrieval(torch.eye(4), 2 * torch.eye(4))
        Retrieval(rank1=1.0, chance=0.25, gallery=4)
    """
    query, gallery = _standardised(query_Nd, gallery_Nd)
    if distance not in ("euclidean", "cosine"):
        raise ValueError(f"distance must be 'euclidean' or 'cosine', not {distance!r}")
    if distance == "cosine":
        query, gallery = (side / side.norm(dim=1, keepdim=True).clamp_min(1e-12) for side in (query, gallery))
    squares = gallery.square().sum(dim=1)
    credits_N = [
        # minus half the squared distance, up to a term that is the same for every candidate
        first_place_credit(part @ gallery.T - squares / 2, own)
        for part, own in zip(
            torch.split(query, _QUERIES_AT_ONCE),
            torch.split(torch.arange(len(query)), _QUERIES_AT_ONCE),
            strict=True,
        )
    ]
    return Retrieval(float(torch.cat(credits_N).mean()), 1 / len(gallery), len(gallery))


def _standardised(query_Nd: Array, gallery_Nd: Array) -> tuple[Tensor, Tensor]:
    query, gallery = to_tensor(query_Nd), to_tensor(gallery_Nd)
    if query.shape != gallery.shape or query.dim() < 2 or len(query) == 0:
        raise ValueError(
            f"queries and gallery must be N x the same, the partner at the same index; "
            f"got {tuple(query.shape)} and {tuple(gallery.shape)}"
        )
    query, gallery = query.flatten(1).double(), gallery.flatten(1).double()
    if not (bool(torch.isfinite(query).all()) and bool(torch.isfinite(gallery).all())):
        raise ValueError("queries or gallery hold NaN or infinity")
    deviation = gallery.std(dim=0, correction=0)
    deviation = deviation.masked_fill(deviation <= 1e-12, 1.0)
    mean = gallery.mean(dim=0)
    return (query - mean) / deviation, (gallery - mean) / deviation


def retrieval_rank1(query_Nd: Array, gallery_Nd: Array, *, distance: Distance = "euclidean") -> float:
    """Share of queries whose nearest candidate is the true one; ``retrieval`` tells chance, 1 / N, beside it.

    Example:
        >>> retrieval_rank1(torch.eye(4), torch.eye(4).roll(1, 0))
        0.0
    """
    return retrieval(query_Nd, gallery_Nd, distance=distance).rank1


def retrieval_of_pictures(
    restored_NCHW: Array, originals_NCHW: Array, *, distance: Distance = "euclidean"
) -> Retrieval:
    """Which original a restored picture is nearest to, pixel by pixel, among all N originals.

    The same picture for every query (the mean image) scores exactly chance.

    Raises:
        ValueError: shapes that differ.
    """
    return retrieval(restored_NCHW, originals_NCHW, distance=distance)
