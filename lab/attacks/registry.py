"""Every attack by name. A new one is a file beside this and an entry here."""

from typing import Any

from lab.attacks.attack import Attack
from lab.attacks.deep_image_prior import DeepImagePrior
from lab.attacks.doubled import Doubled
from lab.attacks.fora import Fora
from lab.attacks.generative import GenerativeBlackBox, GenerativeGrayBox
from lab.attacks.refined import RefinedRMLE
from lab.attacks.residual import Residual
from lab.attacks.rmle import RMLE
from lab.attacks.rmle_authors import RMLEAuthors
from lab.attacks.stored import StoredInverter
from lab.attacks.unet import UNet

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
