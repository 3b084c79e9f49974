import json
from pathlib import Path

import pytest
import torch

from siftfunnel.bench import loss_step

RESULT = Path(loss_step.__file__).parent / "results" / "loss-step.json"


@pytest.mark.parametrize("feature", [(12, 4, 4), (3, 5, 5)])
def test_the_literal_reading_gives_the_same_value_and_gradient(feature: tuple[int, int, int]) -> None:
    gradients = {}
    for name, loss in loss_step.LOSSES.items():
        x, z = loss_step._tensors(8, feature)
        loss(x, z).backward()
        gradients[name] = z.grad
    torch.testing.assert_close(gradients["ours"], gradients["literal"], atol=1e-5, rtol=1e-3)


@pytest.mark.slow
def test_the_measurement_says_what_it_measured() -> None:
    made = loss_step.measure_loss_step(batch=16, feature=(4, 4, 4), rounds=1)
    assert (made["batch"], made["picture_values"], made["feature_values"]) == (16, 12_288, 64)
    assert min(made["step_ms_p50"].values()) > 0
    assert set(made["peak_memory_bytes"]) == {"ours", "literal"}


def test_the_committed_figure_is_of_the_papers_sizes() -> None:
    made = json.loads(RESULT.read_text())["loss_step"]
    assert (made["batch"], made["picture_values"], made["feature_values"]) == (128, 12_288, 3_072)
