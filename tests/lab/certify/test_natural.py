from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.certify import natural
from siftfunnel.lab.certify.natural import Judges, strangeness
from siftfunnel.lab.certify.twins import Twins
from siftfunnel.lab.data.images import ImageSet
from tests.lab.audit.own_pictures import drawn


def smooth(first: int, count: int) -> ImageSet:
    pixels = np.stack([np.asarray(drawn(first + number, (16, 16))) for number in range(count)])
    return ImageSet(pixels, np.zeros(count, np.int64), ("any",))


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STEPS": 200, "WIDTH": 16, "LAYERS": 3, "LEARNING_RATE": 1e-2}.items():
            patch.setattr(natural, name, value)
        return Judges.trained(smooth(0, 260), Path(tmp_path_factory.mktemp("judges")), seed=1)


def test_pictures_that_are_none_are_stranger_to_both_denoisers(judges: Judges) -> None:
    real = smooth(1_000, 20).images_NHWC
    checks = (np.indices((16, 16)).sum(0) % 2 * 40 - 20)[None, :, :, None]
    altered = (real.astype(int) + checks).clip(0, 255).astype(np.uint8)
    assert np.median(judges.ratios(real, altered)) > 1.1
    assert judges.ratios(real, real) == pytest.approx(1.0)
    theirs, own = (
        strangeness(judges.guide, to_floats(torch.from_numpy(each))).mean() for each in (altered, real)
    )
    assert theirs > own
    told = judges.figures(real, {"altered": Twins(altered, np.ones(20, dtype=bool))})
    assert told["strangeness_ratio_median"]["altered"] > 1.1
