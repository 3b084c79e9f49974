"""Everything that a report says of restored pictures, as JSON values."""

from typing import Any

import torch
from torch import Tensor

from lab.attacks.victim import to_floats
from lab.data import ImageSet
from lab.metrics.authors import WINDOW, paper_scores
from lab.metrics.pictures import score_pictures, summarise
from lab.metrics.references import REFERENCES, reference_pictures
from lab.metrics.retrieval import retrieval_of_pictures

REFERENCE_SEED = 1


def scores_of(x_NCHW: Tensor, y_NCHW: Tensor) -> dict[str, Any]:
    """Standard scores, the paper's under their own key, retrieval, and PSNR per picture.

    Args:
        x_NCHW: Originals in [0, 1].
        y_NCHW: Restored pictures, same shape.
    """
    scores = score_pictures(x_NCHW, y_NCHW)
    return {
        "standard": summarise(scores),
        "paper": paper_scores(x_NCHW, y_NCHW) if len(x_NCHW) >= WINDOW else None,
        "retrieval_rank1": retrieval_of_pictures(y_NCHW, x_NCHW).rank1,
        "pictures": len(scores),
        "psnr_db_per_image": [round(float(value), 2) for value in scores.psnr_db_N],
    }


def reference_row(name: str, x_NCHW: Tensor, auxiliary: ImageSet) -> Tensor:
    """The "restored" pictures of a reference row."""
    own = to_floats(torch.from_numpy(auxiliary.images_NHWC))
    return reference_pictures(name, x_NCHW, own, REFERENCE_SEED)


def reference_scores(x_NCHW: Tensor, auxiliary: ImageSet) -> dict[str, Any]:
    """What each reference row scores on the attacked pictures."""
    return {name: scores_of(x_NCHW, reference_row(name, x_NCHW, auxiliary)) for name in REFERENCES}
