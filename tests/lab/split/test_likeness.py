"""What an agreement is worth: that of an answer that never changes stands beside it."""

import numpy as np
import pytest

from siftfunnel.lab.split.likeness import Likeness
from siftfunnel.shared.tensors import OutputSpec


def test_a_constant_answer_of_classes_agrees_as_often_as_the_commonest_is_right() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    likeness = Likeness((OutputSpec("scores", "logits", (3,)),), (logits,), (8, 8))
    assert likeness.of_a_constant() == pytest.approx(0.6)


def test_a_constant_answer_of_tensors_is_their_mean() -> None:
    tensors = np.array([[2.0, 0.0], [4.0, 0.0]], np.float32)
    likeness = Likeness((OutputSpec("heat", "tensor", (2,)),), (tensors,), (8, 8))
    assert likeness.of_a_constant() == pytest.approx((0.5 + 0.75) / 2)
    assert likeness.agreement_N((tensors,)).tolist() == [1.0, 1.0]


BOX = [0.1, 0.1, 0.5, 0.5]
FAR = [0.6, 0.6, 0.9, 0.9]
NEAR = [0.1, 0.15, 0.5, 0.5]
DETECTOR = (OutputSpec("boxes", "tensor", (2, 6)), OutputSpec("heat", "tensor", (4,)))


def detected(*pictures: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Two rows a picture, corners, score and class; what is missing scores nothing."""
    nothing = [0.0, 0.0, 0.1, 0.1, 0.0, 0.0]
    rows = np.array([[*boxes, *[nothing] * (2 - len(boxes))] for boxes in pictures], np.float32)
    return rows, np.zeros((len(pictures), 4), np.float32)


def test_a_detector_agrees_in_boxes_that_meet_and_have_the_same_class() -> None:
    likeness = Likeness(DETECTOR, detected([[*BOX, 0.9, 1], [*FAR, 0.8, 2]], [[*BOX, 0.9, 1]], []), (64, 64))
    found = detected([[*NEAR, 0.9, 1], [*FAR, 0.8, 1]], [[*BOX, 0.9, 1], [*FAR, 0.7, 1]], [])
    assert likeness.measure == "F1 of boxes, IoU 0.5 and same class"
    assert not likeness.is_share
    # one of two and two met; one met and one too many; nothing and nothing
    assert likeness.agreement_N(found).tolist() == pytest.approx([0.5, 2 / 3, 1.0])


def test_a_detector_that_never_changes_its_answer_is_worth_the_empty_pictures() -> None:
    likeness = Likeness(DETECTOR, detected([[*BOX, 0.9, 1]], [], [], []), (64, 64))
    assert likeness.of_a_constant() == pytest.approx(0.75)
