from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from siftfunnel.lab.data.augment import Augmentation
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.metrics.identity import (
    IdentityClassifier,
    IdentitySettings,
    reidentify,
    retrieval,
    retrieval_of_pictures,
    retrieval_rank1,
    train_identity_classifier,
)
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.metrics.test_pictures import noisy, smooth_pictures
from tests.lab.pictures import coloured_set

SETTINGS = IdentitySettings(epochs=3, batch_size=16, width=8, augmentation=Augmentation(flip=True))


def test_pictures_find_themselves_and_their_noisy_copies() -> None:
    x = smooth_pictures(40, side=8)
    assert retrieval_rank1(x, x) == 1
    found = retrieval_of_pictures(noisy(x, 0.05), x)
    assert found.rank1 > 0.9
    assert (found.chance, found.gallery) == (1 / 40, 40)


def test_the_same_answer_for_everybody_scores_exactly_chance() -> None:
    x = smooth_pictures(40, side=8)
    assert retrieval_of_pictures(x.mean(dim=0, keepdim=True).expand_as(x), x).rank1 == 1 / 40
    assert retrieval_rank1(torch.ones(10, 3), torch.ones(10, 3)) == pytest.approx(1 / 10)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_nearest_is_scipys_nearest(distance: str) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(3, [1, 5, 0.1], (60, 3))
    query = gallery + rng.normal(0, 0.3, (60, 3)) * [1, 5, 0.1]
    scaled = [(side - gallery.mean(axis=0)) / gallery.std(axis=0) for side in (query, gallery)]
    expected = (cdist(*scaled, metric=distance).argmin(axis=1) == np.arange(60)).mean()
    assert 0.2 < expected < 1
    assert retrieval_rank1(query, gallery, distance=distance) == pytest.approx(expected)  # type: ignore[arg-type]


def test_a_dimension_of_large_numbers_does_not_drown_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(30, 8, generator=generator)
    query = gallery.clone()
    gallery[:, 0] *= 1e6
    query[:, 0] = 1e6 * torch.randn(30, generator=generator)
    assert retrieval_rank1(query, gallery) > 0.5
    assert retrieval_rank1(query[:, :1], gallery[:, :1]) < 0.2


def test_queries_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="same index"):
        retrieval(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="euclidean"):
        retrieval(torch.zeros(3, 2), torch.zeros(3, 2), distance="manhattan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        retrieval(torch.full((3, 2), torch.nan), torch.zeros(3, 2))


def test_the_classifier_learns_real_pictures_and_does_not_know_grey_ones(tmp_path: Path) -> None:
    images, test = coloured_set(90, size=16, seed=1), coloured_set(30, size=16, seed=2)
    classifier = train_identity_classifier(images, tmp_path, settings=SETTINGS)
    x = torch.from_numpy(test.images_NHWC).permute(0, 3, 1, 2).float() / 255
    real = reidentify(classifier, x, test.labels)
    assert real["top1"] > 0.9
    assert real["top5"] == 1
    grey = reidentify(classifier, torch.full_like(x, 0.5), test.labels)
    assert grey["top1"] == pytest.approx(1 / 3)


def test_a_finished_classifier_is_only_read_again(tmp_path: Path) -> None:
    images = coloured_set(40, size=16)
    first = train_identity_classifier(images, tmp_path, settings=SETTINGS)
    stamp = (tmp_path / "run.json").read_bytes()
    second = train_identity_classifier(images, tmp_path, settings=SETTINGS)
    assert (tmp_path / "run.json").read_bytes() == stamp
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(RunFolderError, match="other settings"):
        train_identity_classifier(coloured_set(40, size=16, seed=7), tmp_path, settings=SETTINGS)


def test_top_five_looks_at_five_places() -> None:
    torch.manual_seed(0)
    classifier = IdentityClassifier(50, width=8)
    x = torch.rand(20, 3, 16, 16)
    with torch.no_grad():
        order = classifier.eval()(x).argsort(dim=1, descending=True)
    assert reidentify(classifier, x, order[:, 0]) == {"top1": 1, "top5": 1}
    assert reidentify(classifier, x, order[:, 4]) == {"top1": 0, "top5": 1}
    assert reidentify(classifier, x, order[:, 5]) == {"top1": 0, "top5": 0}


def test_the_classifier_has_no_batch_statistics() -> None:
    classifier = IdentityClassifier(3, width=8)
    assert list(classifier.buffers()) == []
    torch.manual_seed(0)
    x = torch.rand(6, 3, 24, 24)
    torch.testing.assert_close(classifier(x)[:2], classifier(x[:2]), atol=1e-5, rtol=1e-5)


def test_pictures_or_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="8 pixels"):
        train_identity_classifier(coloured_set(9, size=4), tmp_path)
    classifier = IdentityClassifier(3, width=8)
    with pytest.raises(ValueError, match="need 2 labels"):
        reidentify(classifier, torch.zeros(2, 3, 8, 8), np.array([0]))
    with pytest.raises(ValueError, match=r"0\.\.2"):
        reidentify(classifier, torch.zeros(1, 3, 8, 8), np.array([3]))
    with pytest.raises(ValueError, match="multiple of 8"):
        IdentityClassifier(3, width=12)
