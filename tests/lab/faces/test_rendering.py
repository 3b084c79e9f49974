"""One picture of one person."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftfunnel.lab.faces import Identity, make_identity, render
from siftfunnel.lab.faces.cast import target
from siftfunnel.lab.faces.hairstyles import HAIRSTYLES
from siftfunnel.lab.faces.identity import BEARDS, GLASSES, OUTFITS
from siftfunnel.lab.faces.pose import Take, draw_take
from siftfunnel.lab.faces.rendering import render_take
from tests.lab.faces.comparing import difference


def _take(seed: int = 1) -> Take:
    return draw_take(np.random.default_rng(seed))


def test_a_seed_fixes_the_person() -> None:
    assert make_identity(7) == make_identity(7)
    assert make_identity(7) != make_identity(8)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        make_identity(-1)


def test_fixed_traits_are_kept() -> None:
    person = make_identity(3, hair_style="afro", glasses="round", age=0.95, feminine=True)
    assert (person.hair_style, person.glasses, person.age, person.beard) == ("afro", "round", 0.95, "none")
    with pytest.raises(TypeError, match="tail_length"):
        make_identity(3, tail_length=2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40), picture=st.integers(0, 2**40))
def test_anybody_in_any_circumstances_is_a_picture_with_contrast(seed: int, picture: int) -> None:
    drawn = render(make_identity(seed), np.random.default_rng(picture))
    assert drawn.shape == (64, 64, 3)
    assert drawn.dtype == np.uint8
    assert drawn.std() > 15
    assert drawn[16:56, 16:48].std() > 15


def test_the_generator_alone_decides_a_picture_and_no_global_state_is_touched() -> None:
    person = target("nia")
    np.random.seed(0)
    before: Any = np.random.get_state()
    first = render(person, np.random.default_rng(4))
    after: Any = np.random.get_state()
    assert np.array_equal(after[1], before[1])
    np.random.seed(1)
    assert np.array_equal(render(person, np.random.default_rng(4)), first)
    assert not np.array_equal(render(person, np.random.default_rng(5)), first)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_picture_looks_alike_at_every_size(size: int) -> None:
    drawn = render(target("ada"), np.random.default_rng(2), size)
    reference = render(target("ada"), np.random.default_rng(2), 64)
    assert drawn.shape == (size, size, 3)
    edge, reference_edge = size // 16, 4
    small = drawn.reshape(16, edge, 16, edge, 3).mean(axis=(1, 3))
    expected = reference.reshape(16, reference_edge, 16, reference_edge, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).mean() < 4


def test_a_face_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels, got a size of 8"):
        render(target("ada"), np.random.default_rng(0), size=8)


def _variants(trait: str, values: tuple[str, ...]) -> list[Identity]:
    return [replace(target("goro"), **{trait: value}) for value in values]


@pytest.mark.parametrize(
    ("trait", "values"),
    [("hair_style", tuple(HAIRSTYLES)), ("beard", BEARDS), ("glasses", GLASSES), ("outfit", OUTFITS)],
)
def test_every_style_is_drawn_and_looks_different(trait: str, values: tuple[str, ...]) -> None:
    take = replace(_take(), glasses=True, yaw=0.0, shift=(0.0, 0.0))
    pictures = [render_take(person, take) for person in _variants(trait, values)]
    assert len({picture.tobytes() for picture in pictures}) == len(values)


@pytest.mark.parametrize(
    "change",
    [
        {"yaw": 0.4},
        {"pitch": 0.2},
        {"roll": 0.2},
        {"scale": 1.1},
        {"smile": 1.0},
        {"mouth_open": 0.8},
        {"eye_open": 0.06},
        {"gaze": (0.8, 0.0)},
        {"brow_raise": 0.9},
        {"light_side": -1.0},
        {"warmth": 1.0},
        {"exposure": 0.8},
        {"seed": 99},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_circumstance_shows_in_the_picture(change: dict[str, float]) -> None:
    still = replace(
        _take(), yaw=0.0, pitch=0.0, roll=0.0, scale=1.0, smile=0.0, mouth_open=0.0, eye_open=1.0,
        gaze=(0.0, 0.0), brow_raise=0.0, light_side=1.0, warmth=0.0, exposure=1.0, seed=5,
    )  # fmt: skip
    changed = replace(still, **change)
    assert difference(render_take(target("emil"), still), render_take(target("emil"), changed)) > 0.02


def test_a_mirrored_turn_moves_the_nose_to_the_other_side() -> None:
    from siftfunnel.lab.faces.pose import Pose

    nose = np.array(((0.0, 0.4),))
    left, right = (Pose(replace(_take(), yaw=yaw, roll=0.0, shift=(0.0, 0.0)), 64) for yaw in (-0.4, 0.4))
    assert left.on_face(nose)[0, 0] < 128 < right.on_face(nose)[0, 0]


def test_an_identity_holds_plain_values_only() -> None:
    person = target("tove")
    for field in fields(Identity):
        assert isinstance(getattr(person, field.name), int | float | str | bool | tuple | None)
