"""The search for a step by agreement."""

import numpy as np
import pytest

from siftfunnel.lab.split.points import step_of_agreement
from tests.lab.split.cutnets import quiet


@pytest.mark.parametrize("middle", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("wanted", [0.97, 0.9, 0.6])
def test_the_step_at_which_agreement_is_what_is_wanted_is_found_though_it_wobbles(
    middle: float, wanted: float
) -> None:
    def agreement(step: float) -> float:
        wobble = 0.01 * np.sin(37 * np.log(step))
        return float(1 / (1 + (step / middle) ** 3) + wobble)

    step = step_of_agreement(agreement, wanted, 1.0, quiet)
    assert abs(1 / (1 + (step / middle) ** 3) - wanted) < 0.03


def test_an_agreement_that_no_step_gives_says_what_the_finest_gives() -> None:
    with pytest.raises(ValueError, match=r"91.0% is more than the finest step's 80.0%"):
        step_of_agreement(lambda step: 0.8, 0.91, 1.0, quiet)
