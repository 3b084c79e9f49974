from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics import recogniser
from siftfunnel.lab.metrics.identity import Judge, judge_of
from siftfunnel.lab.metrics.recogniser import RecogniserSettings
from tests.lab.attacks.tiny import shapes

SMALL = RecogniserSettings(width=4, steps=60, batch=32)


def own(count: int = 160) -> ImageSet:
    """Pictures whose class is whether they are brighter than most."""
    images = shapes(count).numpy()
    brightness = images.mean((1, 2, 3))
    return ImageSet(images, (brightness > np.median(brightness)).astype(np.int64), ("dark", "bright"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return judge_of(own(), tmp_path_factory.mktemp("judge"), SMALL)


def test_the_original_is_found_agrees_and_is_at_no_distance(judge: Judge) -> None:
    x = to_floats(shapes(24, seed=3))
    figures = judge.figures(x, x)
    assert (figures["reidentified_rank1"], figures["class_agreement"]) == (1.0, 1.0)
    assert figures["perceptual_distance"] == pytest.approx(0, abs=1e-6)


def test_a_blurred_picture_is_nearer_than_another_and_one_answer_for_all_finds_none(judge: Judge) -> None:
    x = to_floats(shapes(24, seed=3))
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    near, other = judge.figures(x, blurred), judge.figures(x, x.roll(1, 0))
    assert near["perceptual_distance"] < other["perceptual_distance"]
    assert near["reidentified_rank1"] > 0.5
    assert other["reidentified_rank1"] < 0.1
    alike = judge.figures(x, x.mean(0, keepdim=True).expand_as(x))
    assert alike["reidentified_rank1"] == pytest.approx(1 / 24)


def test_a_judge_is_trained_once_read_back_and_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, few = own(40), RecogniserSettings(width=4, steps=3, batch=8)
    monkeypatch.setattr(recogniser, "_KNOWN", {})
    first = judge_of(images, tmp_path, few)
    monkeypatch.setattr(recogniser, "_KNOWN", {})
    trained_anew = judge_of(images, None, few)
    monkeypatch.setattr(recogniser, "_KNOWN", {})
    monkeypatch.setattr(recogniser, "train_recogniser", None)
    read_back = judge_of(images, tmp_path, few)
    x = to_floats(shapes(8, seed=2))
    figures = [each.figures(x, x.flip(3)) for each in (first, trained_anew, read_back)]
    assert figures[0] == figures[1] == figures[2]


def test_pictures_of_one_class_have_a_judge_without_classes(tmp_path: Path) -> None:
    images = ImageSet(shapes(24).numpy(), np.zeros(24, dtype=np.int64), ("all",))
    figures = judge_of(images, None, RecogniserSettings(width=4, steps=2, batch=8)).figures(
        to_floats(shapes(4)), to_floats(shapes(4))
    )
    assert "class_agreement" not in figures
    with pytest.raises(ValueError, match="must have one shape"):
        judge_of(images, None, SMALL).figures(to_floats(shapes(4)), to_floats(shapes(3)))


def test_pictures_larger_than_the_judge_looks_at_are_shrunk() -> None:
    model = recogniser.Recogniser(4, 0).eval()
    assert model.activations(torch.rand(1, 3, 224, 112))[0].shape == (1, 4, 64, 32)
