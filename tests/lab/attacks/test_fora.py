import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from siftfunnel.lab.attacks.fora import Fora, SubstituteTask
from siftfunnel.lab.attacks.substitute import (
    REVERSED_SHARE,
    SubstituteEdge,
    mk_mmd,
)
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.networks.reversal import ReversedGradient
from siftfunnel.lab.training.checkpoints import LAST, RUN, RunFolderError
from tests.lab.attacks.tiny import mean_error, shapes, tiny_victim

AUXILIARY, TARGET = shapes(400, seed=1), shapes(50, seed=2)
ATTACK = Fora(
    epochs=6,
    batch=20,
    learning_rate=1e-2,
    widths=(16, 12, 8),
    blocks=(1, 0, 0),
    substitute_epochs=10,
    substitute_batch=40,
    substitute_rate=1e-2,
    substitute_width=16,
)
SHORT = replace(ATTACK, epochs=1, substitute_epochs=3)


def silent(line: str) -> None:
    """Progress that nobody reads."""


def test_without_queries_the_attacker_still_beats_the_mean_image(tmp_path: Path) -> None:
    victim = tiny_victim()
    learned = ATTACK.fit(victim, AUXILIARY, tmp_path, silent)
    x = to_floats(TARGET)
    made = ATTACK.reconstruct(victim, victim.observe(x), tmp_path, silent).x_NCHW
    mean_image = to_floats(AUXILIARY).mean(dim=0, keepdim=True)
    assert mean_error(made, x) < 0.9 * mean_error(mean_image, x)
    assert (learned["overheard"], learned["own_pictures"]) == (200, 200)
    json.dumps(learned)


def test_the_edge_is_run_on_the_overheard_pictures_alone(tmp_path: Path) -> None:
    victim = tiny_victim()
    seen: list[Tensor] = []

    def listening(x_NCHW: Tensor) -> Tensor:
        seen.append(x_NCHW)
        z: Tensor = victim.edge(x_NCHW)
        return z

    attack = replace(SHORT, overheard=30, substitute_epochs=1)
    pictures = AUXILIARY[:60]
    attack.fit(replace(victim, edge=listening), pictures, tmp_path, silent)
    heard, own = attack.parts(60)
    assert sorted([*heard.tolist(), *own.tolist()]) == list(range(60))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (victim.mean, victim.std))
    traffic = (to_floats(pictures[heard]) - mean) / std
    runs = [x for x in seen if len(x) != 8]  # 8 made-up pictures tell victims apart
    torch.testing.assert_close(torch.cat(runs), traffic)


class Interrupting(SubstituteTask):
    """Stops like Ctrl-C when its third epoch is judged."""

    judged = 0

    def validate(self) -> dict[str, float]:
        self.judged += 1
        if self.judged == 3:
            raise KeyboardInterrupt
        return super().validate()


def test_an_interrupted_substitute_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, pictures = tiny_victim(lambda z: z + 0.1 * torch.randn_like(z)), AUXILIARY[:80]
    SHORT.fit(victim, pictures, tmp_path / "whole", silent)
    with monkeypatch.context() as patched:
        patched.setattr("siftfunnel.lab.attacks.fora.SubstituteTask", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            SHORT.fit(victim, pictures, tmp_path / "parts", silent)
    stopped = json.loads((tmp_path / "parts" / "fora" / "substitute" / RUN).read_text())
    assert stopped["epochs_done"] == 2
    SHORT.fit(victim, pictures, tmp_path / "parts", silent)
    for inside in ("substitute", "."):
        whole, parts = (load_file(tmp_path / name / "fora" / inside / LAST) for name in ("whole", "parts"))
        for name, value in whole.items():
            torch.testing.assert_close(value, parts[name], atol=0, rtol=0)


def test_too_few_pictures_and_unfitted_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 40 auxiliary pictures or more"):
        ATTACK.fit(tiny_victim(), AUXILIARY[:39], tmp_path, silent)
    with pytest.raises(ValueError, match="50 overheard of 60 leave 10"):
        replace(ATTACK, overheard=50).fit(tiny_victim(), AUXILIARY[:60], tmp_path, silent)
    with pytest.raises(RunFolderError, match="call fit first"):
        ATTACK.reconstruct(tiny_victim(), torch.zeros(1, 16, 8, 8), tmp_path / "none", silent)


def test_mk_mmd_is_zero_for_the_same_sample_and_grows_with_the_distance() -> None:
    a = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    b = torch.randn(64, 10, generator=torch.Generator().manual_seed(1))
    assert float(mk_mmd(a, a)) == pytest.approx(0, abs=1e-6)
    assert float(mk_mmd(a, b)) < float(mk_mmd(a, b + 0.5)) < float(mk_mmd(a, b + 2))


def test_mk_mmd_of_two_points_is_the_formula() -> None:
    # joint mean of squared distances 4 * 2 / 4 = 2, each kernel exp(-4 / (2 b))
    kernels = torch.exp(-2 / torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])).mean()
    expected = float(2 - 2 * kernels)
    assert float(mk_mmd(torch.tensor([[0.0]]), torch.tensor([[2.0]]))) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_reversed_and_shortened() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    (3 * ReversedGradient.apply(x, REVERSED_SHARE)).backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(-3 * REVERSED_SHARE)


@pytest.mark.parametrize(("doublings", "side"), [(0, 32), (1, 16), (2, 8), (3, 4)])
def test_a_substitute_has_the_victims_shape_and_least_value(doublings: int, side: int) -> None:
    heard = torch.rand(10, 5, side, side)
    z = SubstituteEdge(heard, 4, doublings)(torch.randn(2, 3, 32, 32))
    assert z.shape == (2, 5, side, side)
    assert bool((z >= heard.amin(dim=(0, 2, 3)).view(1, -1, 1, 1)).all())
