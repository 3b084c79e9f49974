"""What published guarantees are worth here: each computed on the same bundle and the same ruler.

``scalar``   van Trees with one number for all directions, hence "diagonal Fisher information leakage": the
             rarest frequency of pictures rules it, so that it is weak even where nothing is sent
``cem``      e^(2 h(x | y) / d) / (2 pi e) of "conditional entropy maximisation" (CVPR 2025): pictures have
             little entropy, so that it is weak even where nothing is sent
``fsinfo``   a rule of noise with log det(J' J): 0 has no logarithm, and J' J has no full rank where fewer
             values are sent than a picture has
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.certify.ruler import Ruler

VACUOUS_DB = 3.0
"""A guarantee that is so many dB weaker than the truth where nothing at all is sent says nothing."""


@dataclass(frozen=True)
class Known:
    """What the table is computed from.

    Attributes:
        ruler: The prior.
        nats: Upper limit of the information that is sent; None where none is known.
        fisher: Mean of Tr I(x) over the ruler's pictures; infinite without noise, None where it has no
            gradients to be had of.
        live: Mean number of values of a feature that are not 0: no Jacobian has a higher rank.
    """

    ruler: Ruler
    nats: float | None
    fisher: float | None
    live: float


def published_figures(known: Known) -> list[dict[str, Any]]:
    """One entry each: ``mse`` that it promises here, ``mse_if_nothing_were_sent``, and what follows."""
    spectrum = known.ruler.spectrum_d
    size, variance = len(spectrum), float(spectrum.mean())
    prior = float((1 / spectrum).sum())
    nothing = size / prior
    entropy = float(np.log(spectrum).sum() / 2)
    made = [
        _entry("scalar", known.fisher and size / (known.fisher + prior), nothing, variance),
        _entry("dfil", known.fisher and size / known.fisher, None, variance),
        _entry(
            "cem",
            None if known.nats is None else _cem(entropy - known.nats, size),
            _cem(entropy, size),
            variance,
        ),
    ]
    rank = min(known.live, float(size))
    fsinfo = {
        "name": "fsinfo",
        "mse": None,
        "mse_if_nothing_were_sent": None,
        "rank_at_most": rank,
        "pixels": size,
    }
    return [*made, {**fsinfo, "is": "undefined" if rank < size else "not computed"}]


def _cem(nats: float, size: int) -> float:
    """e^(2 h / d) / (2 pi e) of a Gaussian's entropy less ``nats``; the constants of both cancel."""
    return float(np.exp(2 * nats / size))


def _entry(name: str, mse: float | None, nothing: float | None, variance: float) -> dict[str, Any]:
    if name == "dfil":
        # it binds unbiased attackers only, and promises more error than guessing makes where little is sent
        kind = "no bound" if not mse or mse > variance else "for unbiased attackers only"
    else:
        assert nothing is not None
        kind = "vacuous" if 10 * np.log10(variance / nothing) > VACUOUS_DB else "holds"
    return {"name": name, "mse": mse, "mse_if_nothing_were_sent": nothing, "is": kind}


def live_values(features_NCHW: NDArray[np.float32]) -> float:
    """Mean number of values that are not 0."""
    return float((features_NCHW.reshape(len(features_NCHW), -1) != 0).sum(1).mean())
