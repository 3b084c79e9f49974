"""Where a picture lies in the input, against the rules written down naively, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.placement import Transform, place
from siftfunnel.shared.preprocess import fit_image, prepare

SIDES = st.integers(1, 90)
FILTERS = ["box", "bilinear", "hamming", "bicubic", "lanczos", "nearest"]


@st.composite
def specs(draw):
    height, width = draw(SIDES), draw(SIDES)
    crop = draw(st.sampled_from(["centre", "stretch", "letterbox", "letterbox-corner"]))
    longest = max(height, width)
    shorter = draw(st.none() | st.integers(longest, 2 * longest)) if crop == "centre" else None
    sharp = draw(st.booleans())
    names = ["nearest", "bilinear", "bicubic", "lanczos"] if sharp else FILTERS
    return InputSpec(
        height,
        width,
        crop=crop,
        shorter_side=shorter,
        filter=draw(st.sampled_from(names)),
        antialias=not sharp,
        padding=draw(st.integers(0, 255)),
    )


@given(width=SIDES, height=SIDES, spec=specs())
def test_any_picture_becomes_the_input_whatever_the_rule(width, height, spec):
    fitted = fit_image(Image.new("RGB", (width, height), (10, 20, 30)), spec)
    assert fitted.shape == (spec.height, spec.width, 3)
    left, top, right, bottom = np.maximum(place((width, height), spec).target, 0)
    assert np.unique(fitted[top:bottom, left:right].reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]
    fitted[top:bottom, left:right] = spec.padding
    assert (fitted == spec.padding).all()


@given(width=SIDES, height=SIDES, spec=specs())
def test_the_target_comes_back_as_the_source(width, height, spec):
    placement = place((width, height), spec)
    back = placement.transform.boxes_to_picture([placement.target])
    np.testing.assert_allclose(back[0], placement.source, atol=1e-9)
    left, top, right, bottom = placement.source
    assert -1e-9 <= left < right <= width + 1e-9
    assert -1e-9 <= top < bottom <= height + 1e-9
    if "letterbox" in spec.crop:
        assert placement.source == (0, 0, width, height)
        assert spec.width == placement.size[0] or spec.height == placement.size[1]


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), st.floats(0.01, 50), st.floats(-99, 99))
def test_boxes_centres_and_the_matrix_say_the_same(box, scale, offset):
    transform = Transform((scale, 2 * scale), (offset, -offset))
    x0, y0, x1, y1 = transform.boxes_to_picture(box)
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    np.testing.assert_allclose(
        centre * transform.scale + transform.offset, [(x0 + x1) / 2, (y0 + y1) / 2], atol=1e-6
    )
    np.testing.assert_allclose(transform.matrix @ [box[0], box[1], 1], [x0, y0], atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (2, 5), ()])
def test_what_is_no_box_is_refused(shape):
    with pytest.raises(ValueError, match="boxes are"):
        Transform((1, 1), (0, 0)).boxes_to_picture(np.zeros(shape))


def torchvision_says(image: Image.Image, spec: InputSpec) -> Image.Image:
    """`Resize(shorter_side)` and `CenterCrop` as torchvision writes them for Pillow's pictures."""
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = spec.shorter_side, int(spec.shorter_side * long / short)
    size = (new_short, new_long) if width <= height else (new_long, new_short)
    resized = image.resize(size, Image.Resampling[spec.filter.upper()])
    top, left = round((size[1] - spec.height) / 2.0), round((size[0] - spec.width) / 2.0)
    return resized.crop((left, top, left + spec.width, top + spec.height))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(500, 375), (375, 501), (256, 256), (97, 311), (224, 224), (225, 224)])
def test_a_shorter_side_and_a_centre_cut_give_the_pixels_of_torchvision(name, size):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    for spec in (
        InputSpec(224, 224, shorter_side=256, filter=name),
        InputSpec(63, 128, shorter_side=131, filter=name),
        InputSpec(224, 224, shorter_side=224, filter=name),
    ):
        image = Image.fromarray(pixels)
        np.testing.assert_array_equal(fit_image(image, spec), np.asarray(torchvision_says(image, spec)))


def test_a_picture_of_a_thousand_to_one_costs_what_another_does():
    # resized whole it would have 7.5 gigabytes
    spec = InputSpec(224, 224, shorter_side=256)
    placement = place((100_000, 10), spec)
    assert placement.target == (0, 0, 224, 224)
    np.testing.assert_allclose(placement.source, (49_995.6, 0.625, 50_004.4, 9.375), atol=0.1)
    assert fit_image(Image.new("RGB", (100_000, 10), "red"), spec).shape == (224, 224, 3)


def test_a_box_found_in_a_letterbox_lies_on_the_thing_in_the_picture():
    picture = np.zeros((120, 400, 3), np.uint8)
    picture[30:90, 250:350] = 255
    spec = InputSpec(64, 64, crop="letterbox", filter="bilinear", padding=0)
    prepared = prepare(Image.fromarray(picture), spec)
    rows, columns = np.nonzero(prepared.pixels_HWC[..., 0] > 127)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(prepared.transform.boxes_to_picture(box), [250, 30, 350, 90], atol=400 / 64)


def test_an_odd_pixel_of_a_letterbox_is_below_and_to_the_right():
    # as YOLO's own letterbox does: round(half - 0.1) before, round(half + 0.1) after
    assert place((100, 51), InputSpec(100, 100, crop="letterbox")).target == (0, 24, 100, 75)
    assert place((51, 100), InputSpec(100, 100, crop="letterbox")).target == (24, 0, 75, 100)
    assert place((51, 100), InputSpec(100, 100, crop="letterbox-corner")).target == (0, 0, 51, 100)


def test_no_cut_begins_before_the_picture_whatever_its_size():
    spec = InputSpec(224, 224)
    for side in range(1, 2000):
        assert min(place((side, side), spec).source) >= 0
    assert fit_image(Image.new("RGB", (225, 225)), spec).shape == (224, 224, 3)
