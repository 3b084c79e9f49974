"""An inverter that was trained before and lies on disk, as the live page's: it is run, not fitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Access, Attack, Reconstruction, Show
from siftfunnel.lab.attacks.chunks import require_features
from siftfunnel.lab.attacks.inverter_training import invert
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.shared.bundle import Inverter, load_inverter
from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.onnx_torch import OnnxModule


@dataclass(frozen=True)
class StoredInverter(Attack):
    """The decoder of an inverter's folder, on whatever the codec left of the feature.

    Attributes:
        directory: The inverter's folder; its bundle must be the victim's, which the caller sees to.
    """

    directory: Path | None = None

    name: ClassVar[str] = "stored-inverter"
    label: ClassVar[str] = "Stored inverter"
    access: ClassVar[Access] = "black-box"
    kind: ClassVar[Literal["optimisation", "inverter"]] = "inverter"
    source: ClassVar[str] = "`siftfunnel lab inverter`; the shipped ones are the live page's"

    def inverter(self) -> Inverter:
        """What lies in the folder.

        Raises:
            ValueError: no folder was given.
            BundleError: it holds no inverter, or a changed one.
        """
        if self.directory is None:
            raise ValueError(f"attack {self.name} needs the folder of an inverter")
        return load_inverter(self.directory)

    @property
    def epochs(self) -> int:
        """Passes that its training took; 0 where its report does not say."""
        return int(self._training().get("epochs", 0))

    def budget(self) -> dict[str, Any]:
        """Which model it is, and how it was trained; not where it lies."""
        if self.directory is None:
            return {"model_sha256": None, "training": {}}
        return {"model_sha256": sha256_hex(self.inverter().path().read_bytes()), "training": self._training()}

    def _training(self) -> dict[str, Any]:
        recipe: Mapping[str, Any] = self.inverter().report.get("training", {}).get("recipe", {})
        return dict(recipe)

    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The decoder with its weights as parameters, to train it on; the statistics are its own."""
        return trainable(OnnxModule(self.inverter().path()))

    def load(self, victim: Victim, folder: Path) -> nn.Module:
        """The decoder, in evaluation mode; nothing is kept in ``folder``."""
        empty = torch.empty(0)
        return self.build(victim, empty, empty).to(victim.device).eval()

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Pictures from overheard features; see ``Attack.reconstruct``."""
        require_features(victim, z_NCHW)
        return Reconstruction(invert(self.load(victim, folder), z_NCHW, victim))


def trainable(module: nn.Module) -> nn.Module:
    """The same module with every floating-point buffer a parameter, under the same name."""
    for name, value in list(module.named_buffers()):
        if value.is_floating_point():
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value))
    return module
