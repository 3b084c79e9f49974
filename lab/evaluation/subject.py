"""What is attacked: a victim, the pictures behind the overheard features, and the attacker's own."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from siftfunnel.lab.attacks.chunks import write_tensors
from siftfunnel.lab.attacks.victim import Victim, at_once, to_floats
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.identity import Judge, judge_of


@torch.no_grad()
def observed(victim: Victim, images: ImageSet, together: int | None = None) -> Tensor:
    """What an eavesdropper hears of pictures, on the CPU; a stochastic stage draws its noise.

    Args:
        victim: The network under attack.
        images: The pictures.
        together: How many go through the network in one piece; None takes what fits into memory.
    """
    parts = torch.split(torch.from_numpy(images.images_NHWC), together or at_once(victim.image_shape))
    return torch.cat([victim.observe(to_floats(part.to(victim.device))).cpu() for part in parts])


@dataclass(frozen=True)
class Subject:
    """A victim with the pictures on both sides.

    Attributes:
        victim: What the attacker holds of the network.
        attacked: The pictures whose features are overheard.
        auxiliary: The attacker's own pictures.
        seed: Of the noise in what is overheard.
        together: Pictures that are overheard in one piece, on which the noise that is drawn depends; None
            takes what fits into memory.
        recognisers: Folder that keeps the judge of identity; None has none.
    """

    victim: Victim
    attacked: ImageSet
    auxiliary: ImageSet
    seed: int
    together: int | None = None
    recognisers: Path | None = None

    @cached_property
    def judge(self) -> Judge | None:
        """Says whether a restored picture shows the same; trained when it is asked for."""
        return None if self.recognisers is None else judge_of(self.auxiliary, self.recognisers)

    @cached_property
    def x_NCHW(self) -> Tensor:
        """The attacked pictures in [0, 1], on the CPU."""
        return to_floats(torch.from_numpy(self.attacked.images_NHWC))

    @property
    def auxiliary_NHWC(self) -> Tensor:
        """The attacker's own pictures as ``uint8``."""
        return torch.from_numpy(self.auxiliary.images_NHWC)

    def before(self, frames: int) -> Victim:
        """The victim before an attacker who averages so many observations of each picture."""
        return self.victim if frames == 1 else self.victim.averaging(frames)

    def overheard(self, frames: int, folder: Path) -> Tensor:
        """What the eavesdropper got of the attacked pictures; noise is drawn once, and kept in ``folder``."""
        key = "once" if frames == 1 else f"averaged-{frames}"
        path = folder / f"overheard-{key}.safetensors"
        if path.is_file():
            return load_file(path)["z_NCHW"]
        torch.manual_seed(self.seed)
        z_NCHW = observed(self.before(frames), self.attacked, self.together)
        if self.victim.stochastic:
            folder.mkdir(parents=True, exist_ok=True)
            write_tensors(path, {"z_NCHW": z_NCHW}, {})
        return z_NCHW
