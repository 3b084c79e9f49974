"""What is said of restored pictures, and what one scores without attacking."""

from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.authors import PAPER_BATCH, paper_scores
from siftfunnel.lab.metrics.identity import Judge
from siftfunnel.lab.metrics.pictures import score_pictures, summarise
from siftfunnel.lab.metrics.references import REFERENCES, reference_pictures
from siftfunnel.lab.metrics.retrieval import retrieval_rank1

REFERENCE_SEED = 1
PAPER_BATCHES = {"inverter": PAPER_BATCH, "optimisation": 64}
"""Over how many pictures the paper takes its PSNR and SSIM, by kind of attack."""

IDENTITY_REFERENCES = ("mean_image", "nearest_auxiliary")


def scores_of(
    x_NCHW: Tensor, y_NCHW: Tensor, paper_batch: int = PAPER_BATCH, judge: Judge | None = None
) -> dict[str, Any]:
    """What is said of restored pictures: standard scores, the paper's, retrieval, and each picture's PSNR.

    Args:
        x_NCHW: Originals.
        y_NCHW: Restored pictures.
        paper_batch: See ``PAPER_BATCHES``.
        judge: Says whether they show the same, where there is one.
    """
    scores = score_pictures(x_NCHW, y_NCHW)
    return {
        "standard": summarise(scores),
        "paper": paper_scores(x_NCHW, y_NCHW, paper_batch),
        "retrieval_rank1": retrieval_rank1(y_NCHW, x_NCHW),
        "pictures": len(scores),
        "psnr_db_per_image": [round(float(value), 2) for value in scores.psnr_db_N],
        **({} if judge is None else {"identity": judge.figures(x_NCHW, y_NCHW)}),
    }


def reference_row(name: str, x_NCHW: Tensor, auxiliary: ImageSet) -> Tensor:
    """The "restored" pictures of a reference row, as ``reference_figures`` scores them."""
    own = to_floats(torch.from_numpy(auxiliary.images_NHWC))
    return reference_pictures(name, x_NCHW, own, REFERENCE_SEED)


def reference_figures(x_NCHW: Tensor, auxiliary: ImageSet) -> dict[str, Any]:
    """What the reference rows score on the attacked pictures."""
    return {name: scores_of(x_NCHW, reference_row(name, x_NCHW, auxiliary)) for name in REFERENCES}


def identity_references(x_NCHW: Tensor, auxiliary: ImageSet, judge: Judge) -> dict[str, Any]:
    """What the judge says of pictures that no attack restored: the scale on which identity is read.

    Returns:
        ``judge``: how it was trained; ``references``: its figures on the mean picture, on the attacker's
        nearest one and on the original itself.
    """
    shown = {name: reference_row(name, x_NCHW, auxiliary) for name in IDENTITY_REFERENCES}
    figures = {name: judge.figures(x_NCHW, made) for name, made in {**shown, "original": x_NCHW}.items()}
    return {"judge": judge.about, "references": figures}
