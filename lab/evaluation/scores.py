"""What is said of restored pictures, what one scores without attacking, and which attack is the strongest."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.authors import PAPER_BATCH, paper_scores
from siftfunnel.lab.metrics.pictures import score_pictures, summarise
from siftfunnel.lab.metrics.references import REFERENCES, reference_pictures
from siftfunnel.lab.metrics.retrieval import retrieval_rank1

REFERENCE_SEED = 1
PAPER_BATCHES = {"inverter": PAPER_BATCH, "optimisation": 64}
"""Over how many pictures the paper takes its PSNR and SSIM, by kind of attack."""

Entry = Mapping[str, Any]


def scores_of(x_NCHW: Tensor, y_NCHW: Tensor, paper_batch: int = PAPER_BATCH) -> dict[str, Any]:
    """What is said of restored pictures: standard scores, the paper's, retrieval, and each picture's PSNR.

    Args:
        x_NCHW: Originals.
        y_NCHW: Restored pictures.
        paper_batch: See ``PAPER_BATCHES``.
    """
    scores = score_pictures(x_NCHW, y_NCHW)
    return {
        "standard": summarise(scores),
        "paper": paper_scores(x_NCHW, y_NCHW, paper_batch),
        "retrieval_rank1": retrieval_rank1(y_NCHW, x_NCHW),
        "pictures": len(scores),
        "psnr_db_per_image": [round(float(value), 2) for value in scores.psnr_db_N],
    }


def reference_row(name: str, x_NCHW: Tensor, auxiliary: ImageSet) -> Tensor:
    """The "restored" pictures of a reference row, as ``reference_figures`` scores them."""
    own = to_floats(torch.from_numpy(auxiliary.images_NHWC))
    return reference_pictures(name, x_NCHW, own, REFERENCE_SEED)


def reference_figures(x_NCHW: Tensor, auxiliary: ImageSet) -> dict[str, Any]:
    """What the reference rows score on the attacked pictures."""
    return {name: scores_of(x_NCHW, reference_row(name, x_NCHW, auxiliary)) for name in REFERENCES}


def mean_psnr(attack: Entry) -> float:
    """Mean PSNR in dB of an attack's entry."""
    return float(attack["scores"]["standard"]["psnr_db"]["mean"])


def by_strength(attacks: Mapping[str, Entry], psnr_db: Callable[[Entry], float] = mean_psnr) -> list[str]:
    """Keys from the strongest attack to the weakest: the highest mean PSNR first.

    Args:
        attacks: Entries by key.
        psnr_db: Where an entry has it.

    Example:
        >>> by_strength({"a": {"psnr_db": 10}, "b": {"psnr_db": 20}}, lambda entry: entry["psnr_db"])
        ['b', 'a']
    """
    return sorted(attacks, key=lambda key: -psnr_db(attacks[key]))


def strongest(attacks: Mapping[str, Entry], psnr_db: Callable[[Entry], float] = mean_psnr) -> str | None:
    """Key of the strongest attack; None without attacks."""
    return next(iter(by_strength(attacks, psnr_db)), None)
