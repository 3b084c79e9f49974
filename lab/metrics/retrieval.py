"""Finding the right picture in a gallery: the one leak that a low PSNR does not hide."""

import torch
from torch import Tensor

from siftfunnel.lab.metrics.arrays import Array, to_tensor

_QUERIES_AT_ONCE = 512


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


def retrieval_rank1(query_Nd: Array, gallery_Nd: Array) -> float:
    """Share of queries whose nearest neighbour in the gallery is their own partner; chance is 1 / N.

    See ``retrieval_credit``.

    Example:
        >>> [retrieval_rank1(torch.eye(4), found) for found in (2 * torch.eye(4), torch.eye(4).roll(1, 0))]
        [1.0, 0.0]
    """
    return float(retrieval_credit(query_Nd, gallery_Nd).mean())


def retrieval_credit(query_Nd: Array, gallery_Nd: Array) -> Tensor:
    """For each query 1 where its nearest neighbour is its own partner, less where others are as near.

    Both sides are flattened and standardised per dimension with the gallery's statistics; a dimension that
    never changes in the gallery is only centred. The same query for every picture scores exactly chance.

    Args:
        query_Nd: What the attacker has, N x anything: restored pictures, or features.
        gallery_Nd: Candidates, N x the same; a query's partner has its index.

    Raises:
        ValueError: shapes that differ, NaN.
    """
    query, gallery = _standardised(query_Nd, gallery_Nd)
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
    return torch.cat(credits_N)


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
