import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from siftfunnel.lab.metrics.retrieval import retrieval_rank1
from tests.lab.metrics.test_pictures import noisy, smooth_pictures


def test_pictures_find_themselves_and_their_noisy_copies() -> None:
    x = smooth_pictures(40, side=8)
    assert retrieval_rank1(x, x) == 1
    assert retrieval_rank1(noisy(x, 0.05), x) > 0.9


def test_the_same_answer_for_everybody_scores_exactly_chance() -> None:
    x = smooth_pictures(40, side=8)
    assert retrieval_rank1(x.mean(dim=0, keepdim=True).expand_as(x), x) == 1 / 40
    assert retrieval_rank1(torch.ones(10, 3), torch.ones(10, 3)) == pytest.approx(1 / 10)


def test_the_nearest_is_scipys_nearest() -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(3, [1, 5, 0.1], (60, 3))
    query = gallery + rng.normal(0, 0.3, (60, 3)) * [1, 5, 0.1]
    scaled = [(side - gallery.mean(axis=0)) / gallery.std(axis=0) for side in (query, gallery)]
    expected = (cdist(*scaled).argmin(axis=1) == np.arange(60)).mean()
    assert 0.2 < expected < 1
    assert retrieval_rank1(query, gallery) == pytest.approx(expected)


def test_a_dimension_of_large_numbers_does_not_drown_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(30, 8, generator=generator)
    query = gallery.clone()
    gallery[:, 0] *= 1e6
    query[:, 0] = 1e6 * torch.randn(30, generator=generator)
    assert retrieval_rank1(query, gallery) > 0.5
    assert retrieval_rank1(query[:, :1], gallery[:, :1]) < 0.2


def test_queries_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="the partner at the same index"):
        retrieval_rank1(torch.zeros(3, 4), torch.zeros(4, 4))
    with pytest.raises(ValueError, match="NaN or infinity"):
        retrieval_rank1(torch.full((2, 4), float("nan")), torch.zeros(2, 4))
