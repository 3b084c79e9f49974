"""What is measured of a row says something of the network and the pictures, never of how they were stored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.study.measure import PAPER_DISTANCE_BATCH, distance_figures
from siftfunnel.lab.study.study import run_row
from tests.lab.pictures import write_data_directory
from tests.lab.stored import save_parts_npz
from tests.lab.study.test_study import CPU, PLAIN, TINY, places, quiet, without_times


def test_no_figure_changes_when_the_test_pictures_are_stored_in_another_order(tmp_path: Path) -> None:
    splits = load_splits("cifar10", write_data_directory(tmp_path / "pictures", 200, 60, 16))

    def results(name: str, test: ImageSet) -> object:
        stored = tmp_path / name
        save_parts_npz(replace(splits, test=test), stored / "cifar10_data.npz")
        return without_times(json.loads(run_row(PLAIN, TINY, places(stored, stored), CPU, quiet).read_text()))

    in_class_order = splits.test.take(np.argsort(splits.test.labels, kind="stable"))
    permuted = splits.test.take(np.random.default_rng(0).permutation(len(splits.test)))
    assert results("a", in_class_order) == results("b", permuted)


def test_distance_correlation_is_of_all_pictures_and_the_biased_form_of_the_papers_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * PAPER_DISTANCE_BATCH + 5, 3, 4, 4, generator=generator)
    found = distance_figures(x, 2 * x)
    assert found["distance_correlation_pictures"] == len(x)
    assert found["distance_correlation_unbiased"] == pytest.approx(1, abs=1e-3)
    assert found["distance_correlation_biased"] == pytest.approx(1, abs=1e-3)
    apart = distance_figures(x, torch.randn(x.shape, generator=generator))
    assert abs(apart["distance_correlation_unbiased"]) < 0.1
    assert apart["distance_correlation_biased"] > 0.2
