"""The attack beside a certificate: on the same pictures, and never below what is proved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.metrics.intervals import ci95_of_mean
from siftfunnel.lab.targets.target import Target
from siftfunnel.shared.bundle import Inverter, find_inverters
from siftfunnel.shared.bundle_search import shipped_folder

FEW_PASSES = {"epochs": 4, "blocks": (4, 1, 0)}
"""Of the residual inverter that is trained where a bundle has none."""
EXACT = 1e-9


class CertificateBrokenError(RuntimeError):
    """An attack does better than it is proved that any can: the certificate is wrong, nothing is written."""


def attack_for(digest: str, place: Path | None, bundle: Path) -> Attack:
    """The stored inverter of a bundle, else a residual one that is trained.

    Args:
        digest: The bundle's.
        place: An inverter's folder; None looks beside the bundle's folder and among the shipped ones.
        bundle: Where the bundle lies.

    Raises:
        BundleError: ``place`` holds an inverter of another bundle, or none.
    """
    if place is not None:
        attack = StoredInverter(place)
        attack.inverter().require_digest(digest)
        return attack
    folders = [folder for folder in (bundle.absolute().parent.parent / "inverters",) if folder.is_dir()]
    for found in find_inverters(*folders, *shipped_folder("inverters")):
        if isinstance(found, Inverter) and found.bundle_digest == digest:
            return StoredInverter(found.directory)
    return make_attack("residual", **FEW_PASSES)


@dataclass(frozen=True)
class Opponent:
    """An attack that is fitted once and restores whatever is overheard.

    Attributes:
        target: Heard after the codec.
        attack: With its budget.
        auxiliary_NHWC: The attacker's own pictures, ``uint8``.
        steps: The run folder.
        frames: Frames of each picture that he averages.
        seed: Of noise.
    """

    target: Target
    attack: Attack
    auxiliary_NHWC: Tensor
    steps: Steps
    frames: int = 1
    seed: int = 1

    def about(self) -> dict[str, Any]:
        """Fit it, and say what it is."""
        victim = self.target.victim.averaging(self.frames)
        torch.manual_seed(self.seed)
        self.attack.fit(victim, self.auxiliary_NHWC, self.steps.attacks(self.frames), self.steps.show)
        return {
            "name": self.attack.name,
            "label": self.attack.label,
            "access": self.attack.access,
            "budget": self.attack.budget(),
            "frames": self.frames,
        }

    def restored(self, arrived_NCHW: NDArray[np.float32]) -> Tensor:
        """Pictures from decoded features as codecs have them."""
        own = torch.from_numpy(arrived_NCHW).reshape(len(arrived_NCHW), *self.target.layout.own)
        return self._reconstruct(self.target.layout.to_maps(own))

    @torch.no_grad()
    def errors(self, x_NCHW: Tensor) -> NDArray[np.float64]:
        """Mean squared error on each picture; what is sent of one is its 8-bit version, cut to [0, 1]."""
        torch.manual_seed(self.seed)
        sent = (x_NCHW.clamp(0, 1) * 255).round() / 255
        victim = self.target.victim.averaging(self.frames)
        heard = torch.cat([victim.observe(part.to(victim.device)).cpu() for part in torch.split(sent, 100)])
        difference = (self._reconstruct(heard) - x_NCHW).double()
        return np.asarray(difference.square().mean((1, 2, 3)).numpy())

    def _reconstruct(self, z_NCHW: Tensor) -> Tensor:
        victim = self.target.victim.averaging(self.frames)
        made = self.attack.reconstruct(victim, z_NCHW, self.steps.attacks(self.frames), self.steps.show)
        return made.x_NCHW


def error_figures(errors_N: NDArray[np.float64]) -> dict[str, Any]:
    """Mean squared error with its interval over pictures."""
    return {"mse": float(errors_N.mean()), "ci95": ci95_of_mean(errors_N), "pictures": len(errors_N)}


def require_unbroken(proved_mse: float, attack: Mapping[str, Any], what: str) -> None:
    """Refuse a certificate on whose own pictures an attack errs less than it says that any must.

    Args:
        proved_mse: The least mean squared error.
        attack: As ``error_figures`` has it, on the same pictures or on others of the same prior.
        what: The statement, for the message.

    Raises:
        CertificateBrokenError: the attack's whole interval lies below.
    """
    if attack["ci95"][1] < proved_mse * (1 - EXACT):
        raise CertificateBrokenError(
            f"{what}: no attacker should err by less than {proved_mse:.6f}, and this one errs by "
            f"{attack['mse']:.6f} (95 % interval {attack['ci95'][0]:.6f} to {attack['ci95'][1]:.6f}): the "
            "certificate is wrong; nothing was written"
        )
