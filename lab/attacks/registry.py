"""Every attack by name. A new one is a file beside this and an entry here."""

from typing import Any

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.deep_image_prior import DeepImagePrior
from siftfunnel.lab.attacks.doubled import Doubled
from siftfunnel.lab.attacks.fora import Fora
from siftfunnel.lab.attacks.generative import GenerativeBlackBox, GenerativeGrayBox
from siftfunnel.lab.attacks.identity import IdentitySeeker
from siftfunnel.lab.attacks.refined import RefinedRMLE
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.rmle import RMLE
from siftfunnel.lab.attacks.rmle_authors import RMLEAuthors
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.unet import UNet

ATTACKS: dict[str, type[Attack]] = {
    made.name: made
    for made in (
        RMLEAuthors,
        RMLE,
        GenerativeBlackBox,
        GenerativeGrayBox,
        Residual,
        UNet,
        RefinedRMLE,
        IdentitySeeker,
        DeepImagePrior,
        Fora,
        StoredInverter,
        Doubled,
    )
}
"""The paper's attacks and their corrections first, then those that the paper lacks."""


def make_attack(name: str, **budget: Any) -> Attack:
    """An attack with its default budget, or another; an unknown name lists the known ones."""
    if name not in ATTACKS:
        raise ValueError(f"unknown attack {name!r}; known: {', '.join(ATTACKS)}")
    return ATTACKS[name](**budget)
