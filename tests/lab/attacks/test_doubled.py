"""A stored inverter is an attack like any other, and any trained inverter can be trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from siftfunnel.lab.attacks.doubled import Doubled
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.victim import Lift, to_floats
from siftfunnel.lab.inverter import convert_decoder
from siftfunnel.shared.bundle import write_inverter
from tests.lab.attacks.test_inverter_training import AUXILIARY, TARGET, silent
from tests.lab.attacks.tiny import SIDE, mean_error, tiny_victim

START = Residual(epochs=3, batch=10, learning_rate=1e-2, widths=(16, 12, 8), blocks=(1, 0, 0))
VICTIM = tiny_victim()
X, Z = to_floats(TARGET), VICTIM.observe(to_floats(TARGET)).detach()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the start is fitted."""
    made = tmp_path_factory.mktemp("attacks")
    START.fit(VICTIM, AUXILIARY, made, silent)
    return made


@pytest.fixture(scope="module")
def stored(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredInverter:
    """The start's decoder as an inverter on disk."""
    _, model = convert_decoder(START.load(VICTIM, folder / "residual"), VICTIM.feature_shape)
    place = tmp_path_factory.mktemp("inverters") / "tiny"
    report = {"training": {"recipe": {"epochs": 3, "batch_size": 10}}}
    write_inverter(place, "tiny", "0" * 64, model, report)
    return StoredInverter(place)


def test_a_stored_inverter_restores_what_the_trained_one_does(
    folder: Path, stored: StoredInverter, tmp_path: Path
) -> None:
    wanted = START.reconstruct(VICTIM, Z, folder, silent).x_NCHW
    assert stored.fit(VICTIM, AUXILIARY, tmp_path, silent) == {}
    made = stored.reconstruct(VICTIM, Z, tmp_path, silent).x_NCHW
    assert torch.allclose(made, wanted, atol=2e-2)
    assert stored.epochs == 3


def test_a_budget_names_the_model_and_never_the_folder(stored: StoredInverter) -> None:
    assert stored.directory is not None
    told = str(Doubled.of(stored).budget())
    assert "model_sha256" in told
    assert str(stored.directory) not in told


def test_without_a_folder_there_is_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stored-inverter needs the folder of an inverter"):
        StoredInverter().reconstruct(VICTIM, Z, tmp_path, silent)


@pytest.mark.parametrize("kind", ["stored", "trained"])
def test_a_doubled_inverter_goes_on_from_where_it_stands_and_gets_more(
    kind: str, folder: Path, stored: StoredInverter, tmp_path: Path
) -> None:
    start = stored if kind == "stored" else START
    root = tmp_path if kind == "stored" else folder
    attack = replace(Doubled.of(start), batch=10, learning_rate=5e-3)
    assert attack.epochs == start.epochs == 3
    before = start.reconstruct(VICTIM, Z, root, silent).x_NCHW
    learned = attack.fit(VICTIM, AUXILIARY, root, silent)
    assert learned["history"][0]["held_back_psnr"] > 15
    after = attack.reconstruct(VICTIM, Z, root, silent).x_NCHW
    assert mean_error(after, X) < mean_error(before, X)
    assert torch.equal(start.reconstruct(VICTIM, Z, root, silent).x_NCHW, before)


def test_an_inverter_behind_a_lift_is_trained_on_as_it_is(tmp_path: Path) -> None:
    victim = tiny_victim()
    lift = torch.nn.ConvTranspose2d(16, 5, 2, stride=2).requires_grad_(False)
    lifted = replace(victim, lift=Lift(lift, (5, SIDE // 2, SIDE // 2), "as the cloud half does"))
    start = Residual(epochs=1, widths=(8, 8, 8), blocks=(1, 0, 0))
    attack = Doubled.of(start)
    attack.fit(lifted, AUXILIARY, tmp_path, silent)
    z = lifted.observe(torch.rand(2, 3, SIDE, SIDE))
    assert attack.reconstruct(lifted, z, tmp_path, silent).x_NCHW.shape == (2, 3, SIDE, SIDE)
    kept: Any = attack.load(lifted, tmp_path / attack.name)
    assert torch.equal(kept[0].weight, lift.weight)
