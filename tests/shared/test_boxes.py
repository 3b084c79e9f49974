import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from siftfunnel.shared.boxes import MAX_BOXES, find_boxes

SIZE = (480, 640)
FACE, CAR = [64.0, 48.0, 320.0, 240.0], [320.0, 240.0, 640.0, 480.0]
FACE_AT, CAR_AT = [0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]


def as_centres(corners: list[float]) -> list[float]:
    left, top, right, bottom = corners
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


@pytest.mark.parametrize(
    "boxes",
    [
        [FACE, CAR],
        [as_centres(FACE), as_centres(CAR)],
        [FACE_AT, CAR_AT],
        [as_centres(FACE_AT), as_centres(CAR_AT)],
    ],
)
def test_corners_and_centres_in_pixels_and_in_fractions_are_the_same_boxes(boxes: list[list[float]]) -> None:
    outputs = {"boxes": np.asarray([boxes], np.float32), "scores": np.asarray([0.9, 0.6], np.float32)}
    found = find_boxes(outputs, SIZE)["boxes"]
    assert [each["score"] for each in found] == [0.9, 0.6]
    assert found[0]["at"] == pytest.approx(FACE_AT, abs=1e-3)
    assert found[1]["at"] == pytest.approx(CAR_AT, abs=1e-3)


def test_a_score_and_a_class_may_stand_in_the_boxes_own_rows() -> None:
    rows = np.asarray([[*FACE, 0.8, 3], [*CAR, 0.2, 1]], np.float32)
    (found,) = find_boxes({"pred_bbox": rows}, SIZE)["pred_bbox"]
    assert (found["score"], found["kind"]) == (0.8, 3)
    (found,) = find_boxes({"bbox": rows[:, :5]}, SIZE)["bbox"]
    assert (found["score"], found["kind"]) == (0.8, None)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_best_class_counts_and_a_background_does_not(transposed: bool) -> None:
    boxes = np.asarray([FACE, CAR, FACE], np.float32)
    with_background = np.asarray([[0.1, 0.9], [0.8, 0.2], [0.95, 0.05]], np.float32)
    scores = with_background.T if transposed else with_background
    (found,) = find_boxes({"boxes": boxes, "confidences": scores}, SIZE)["boxes"]
    assert (found["score"], found["kind"]) == (0.9, None)
    kinds = np.asarray([[0.1, 0.9], [0.6, 0.2], [0.1, 0.1]], np.float32)
    both = find_boxes({"boxes": boxes, "scores": kinds.T if transposed else kinds}, SIZE)["boxes"]
    assert [(each["score"], each["kind"]) for each in both] == [(0.9, 1), (0.6, 0)]


def test_logits_are_scores_too() -> None:
    found = find_boxes({"boxes": np.asarray([FACE, CAR]), "scores": np.asarray([[4.0], [-4.0]])}, SIZE)
    assert [each["score"] for each in found["boxes"]] == [0.982]


def test_each_object_is_shown_once_and_of_many_the_best() -> None:
    rng = np.random.default_rng(0)
    near = np.asarray(FACE) + rng.uniform(-2, 2, (500, 4))
    scores = rng.uniform(0.5, 1, 500)
    (found,) = find_boxes({"boxes": near, "scores": scores}, SIZE)["boxes"]
    assert found["score"] == pytest.approx(scores.max(), abs=1e-4)
    corners = rng.uniform(0, 470, (5000, 2))
    many = find_boxes(
        {"boxes": np.concatenate([corners, corners + 3], 1), "scores": np.full(5000, 0.9)}, SIZE
    )
    assert len(many["boxes"]) == MAX_BOXES


@pytest.mark.parametrize(
    "outputs",
    [
        {"boxes": np.zeros((3, 4))},  # nothing scores them
        {"boxes": np.zeros((3, 7)), "scores": np.zeros(3)},
        {"landmarks": np.zeros((3, 4)), "scores": np.zeros(3)},
        {"boxes": np.zeros((3, 4)), "scores": np.zeros(4)},
        {"boxes": np.zeros((0, 4)), "scores": np.zeros(0)},
        {"boxes": np.zeros(4), "scores": np.zeros(1)},
    ],
)
def test_what_cannot_be_told_to_be_boxes_is_none(outputs: dict[str, np.ndarray]) -> None:
    assert find_boxes(outputs, SIZE) == {}


shapes = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=12)
floats = arrays.arrays(np.float32, shapes, elements=st.floats(width=32))


@given(floats, floats, st.sampled_from(["boxes", "bbox_5"]))
def test_any_tensors_give_boxes_within_the_picture_or_none(
    boxes: np.ndarray, scores: np.ndarray, name: str
) -> None:
    with np.errstate(all="ignore"):
        found = find_boxes({name: boxes, "scores": scores}, SIZE)
    for each in found.get(name, []):
        assert all(0 <= side <= 1 for side in each["at"])
        assert 0 <= each["score"] <= 1
