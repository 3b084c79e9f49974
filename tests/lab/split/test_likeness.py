"""What an agreement is worth: that of an answer that never changes stands beside it."""

import numpy as np
import pytest

from siftfunnel.lab.split.likeness import Likeness
from siftfunnel.shared.tensors import OutputSpec


def test_a_constant_answer_of_classes_agrees_as_often_as_the_commonest_is_right() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
    likeness = Likeness((OutputSpec("scores", "logits", (3,)),), (logits,))
    assert likeness.of_a_constant() == pytest.approx(0.6)


def test_a_constant_answer_of_tensors_is_their_mean() -> None:
    boxes = np.array([[2.0, 0.0], [4.0, 0.0]], np.float32)
    likeness = Likeness((OutputSpec("boxes", "tensor", (2,)),), (boxes,))
    assert likeness.of_a_constant() == pytest.approx((0.5 + 0.75) / 2)
    assert likeness.agreement_N((boxes,)).tolist() == [1.0, 1.0]
