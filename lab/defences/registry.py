"""Every defence by name. A new one is a file beside this and an entry here."""

from collections.abc import Mapping
from typing import Any

from siftfunnel.lab.defences.autoencoder import Autoencoder
from siftfunnel.lab.defences.bido import BiDO
from siftfunnel.lab.defences.cem import CEM
from siftfunnel.lab.defences.defence import Defence
from siftfunnel.lab.defences.dpsgd import DPSGD
from siftfunnel.lab.defences.feature_dropout import FeatureDropoutDefence
from siftfunnel.lab.defences.funnel_cross_entropy import FunnelCrossEntropy
from siftfunnel.lab.defences.gaussian_noise import GaussianNoiseDefence
from siftfunnel.lab.defences.guarded import Guarded
from siftfunnel.lab.defences.infoscissors import InfoScissors
from siftfunnel.lab.defences.mid import MID
from siftfunnel.lab.defences.negative_label_smoothing import NegativeLabelSmoothing
from siftfunnel.lab.defences.none import NoDefence
from siftfunnel.lab.defences.nopeek import NoPeek
from siftfunnel.lab.defences.siftfunnel import SiftFunnel
from siftfunnel.lab.defences.siftfunnel_rate import SiftFunnelRate
from siftfunnel.lab.defences.vib import VIB

DEFENCES: dict[str, type[Defence]] = {
    made.name: made
    for made in (
        NoDefence,
        GaussianNoiseDefence,
        FeatureDropoutDefence,
        DPSGD,
        NegativeLabelSmoothing,
        MID,
        BiDO,
        VIB,
        InfoScissors,
        Autoencoder,
        SiftFunnel,
        FunnelCrossEntropy,
        NoPeek,
        CEM,
        SiftFunnelRate,
        Guarded,
    )
}
"""In the order of the paper's Table 2, then those that the paper lacks."""


FROM_SCRATCH = tuple(name for name, made in DEFENCES.items() if not made.goes_on)
"""Those that a network can be trained with from its first step, as the study's rows are."""


def make_defence(name: str, **parameters: Any) -> Defence:
    """A defence with its default parameters, or others; an unknown name lists the known ones."""
    return _named(name)(**parameters)


def defence_from_json(stored: Mapping[str, Any]) -> Defence:
    """The defence that ``Defence.to_json`` wrote."""
    return _named(stored["name"]).from_parameters(stored["parameters"])


def _named(name: str) -> type[Defence]:
    if name not in DEFENCES:
        raise ValueError(f"unknown defence {name!r}; known: {', '.join(DEFENCES)}")
    return DEFENCES[name]
