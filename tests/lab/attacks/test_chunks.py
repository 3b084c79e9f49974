"""Reconstruction chunk by chunk: resumed, identified, and clear about what went wrong."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Attack, Reconstruction
from siftfunnel.lab.attacks.chunks import merge_details, reconstruct_in_chunks
from siftfunnel.lab.attacks.deep_image_prior import DeepImagePrior
from siftfunnel.lab.attacks.rmle import RMLE
from siftfunnel.lab.attacks.rmle_authors import RMLEAuthors
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.attacks.tiny import shapes, tiny_victim

ONE = {"learning_rates": (0.2,), "tv_weights": (0.0,), "prior_weights": (0.1,), "spaces": ("whitened",)}


def quiet(_: str) -> None:
    """Takes no notice."""


class InterruptedError_(Exception):
    """The user pressed Ctrl-C."""


def interrupt_after(count: int):
    """A progress line that stops the attack after ``count`` lines."""
    lines = []

    def show(line: str) -> None:
        lines.append(line)
        if len(lines) == count:
            raise InterruptedError_

    return show


@pytest.mark.parametrize(
    "attack",
    [
        RMLE(iterations=6, restarts=2, batch=1, tuning_pictures=2, **ONE),
        DeepImagePrior(iterations=4, channels=2, batch=1, tv_weights=(0.0,), tuning_pictures=2),
        RMLEAuthors(iterations=6, batch=1),
    ],
    ids=lambda attack: attack.name,
)
def test_an_interrupted_and_resumed_attack_gives_the_same_pictures(attack: Attack, tmp_path: Path) -> None:
    victim = tiny_victim()
    z = victim.observe(to_floats(shapes(3, seed=2)))
    for folder in (tmp_path / "whole", tmp_path / "resumed"):
        attack.fit(victim, shapes(30, seed=1), folder, quiet)
    whole = attack.reconstruct(victim, z, tmp_path / "whole", quiet)
    with pytest.raises(InterruptedError_):
        attack.reconstruct(victim, z, tmp_path / "resumed", interrupt_after(2))
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "resumed").rglob("chunk-*.safetensors")}
    resumed = attack.reconstruct(victim, z, tmp_path / "resumed", quiet)
    assert len(done) == 2
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())
    assert torch.equal(whole.x_NCHW, resumed.x_NCHW)
    for key in whole.details.keys() - {"seconds"}:
        assert whole.details[key] == resumed.details[key]


def solve_to_grey(z_NCHW: Tensor, chunk: int) -> Reconstruction:
    return Reconstruction(
        torch.full((len(z_NCHW), 3, 32, 32), 0.5), {"chunk_per_image": [chunk] * len(z_NCHW)}
    )


def run_chunks(folder: Path, z_NCHW: Tensor, attack: Attack, solve=solve_to_grey) -> Reconstruction:
    return reconstruct_in_chunks(attack, tiny_victim(), z_NCHW, folder, quiet, batch=2, solve=solve)


def test_chunks_come_back_in_order_and_their_details_are_joined(tmp_path: Path) -> None:
    made = run_chunks(tmp_path, torch.zeros(5, 16, 8, 8), RMLEAuthors())
    assert made.x_NCHW.shape == (5, 3, 32, 32)
    assert made.details["chunk_per_image"] == [0, 0, 1, 1, 2]
    assert made.details["chunk_median"] == 1


def test_a_folder_with_other_features_or_another_budget_is_refused(tmp_path: Path) -> None:
    z = torch.zeros(2, 16, 8, 8)
    run_chunks(tmp_path, z, RMLEAuthors())
    with pytest.raises(RunFolderError, match=r"\(features_sha256\); choose another folder or delete it"):
        run_chunks(tmp_path, z + 1, RMLEAuthors())
    with pytest.raises(RunFolderError, match=r"\(budget\)"):
        run_chunks(tmp_path, z, RMLEAuthors(iterations=3))


@pytest.mark.parametrize(
    ("z", "complaint"),
    [
        (torch.zeros(2, 12, 8, 8), "16 x 8 x 8"),
        (torch.zeros(0, 16, 8, 8), "no features"),
        (torch.full((1, 16, 8, 8), float("nan")), "NaN"),
    ],
)
def test_features_that_do_not_fit_are_refused(z: Tensor, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        run_chunks(tmp_path, z, RMLEAuthors())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_says_what_to_lower(error: RuntimeError, tmp_path: Path) -> None:
    def fail(z_NCHW: Tensor, chunk: int) -> Reconstruction:
        raise error

    with pytest.raises(MemoryError, match=r"2 pictures at a time; lower the attack's `batch`"):
        run_chunks(tmp_path, torch.zeros(2, 16, 8, 8), RMLEAuthors(), fail)


def test_details_are_averaged_by_size_and_joined_per_picture() -> None:
    merged = merge_details(
        [
            {"a": 1.0, "curve": [1.0, 0.0], "b_per_image": [1], "same": "x"},
            {"a": 4.0, "curve": [4.0, 3.0], "b_per_image": [2, 6], "same": "x"},
        ],
        [1, 2],
    )
    assert merged == {
        "a": 3.0,
        "curve": [3.0, 2.0],
        "b_per_image": [1, 2, 6],
        "b_mean": 3.0,
        "b_median": 2.0,
        "same": "x",
    }
