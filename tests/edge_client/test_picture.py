"""What callers may hand over as a picture, and that it makes no difference which."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siftfunnel.edge_client.picture import as_picture
from siftfunnel.shared.preprocess import InputSpec, open_image, prepare

SPEC = InputSpec(24, 40)
MODES = ("RGB", "L", "1", "P", "RGBA", "LA", "I;16", "I", "F")


def made(mode: str, width: int, height: int, seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    if mode in ("I", "F"):
        return Image.fromarray(values[..., 0].astype(np.int32 if mode == "I" else np.float32))
    return Image.fromarray(values).convert(mode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@settings(max_examples=40)
@given(
    mode=st.sampled_from(MODES),
    form=st.sampled_from(["PNG", "TIFF", "JPEG", "WEBP"]),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    orientation=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_the_same_picture_gives_the_same_tensor_however_it_is_handed_over(
    folder: Path, mode: str, form: str, size: tuple[int, int], orientation: int, seed: int
) -> None:
    picture = made(mode, *size, seed)
    if form in ("JPEG", "WEBP") or (form == "PNG" and mode in ("I", "F")):
        picture = picture.convert("L" if mode in ("I;16", "I", "F") else "RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / f"picture.{form.lower()}"
    picture.save(path, form, exif=exif)
    stored = path.read_bytes()
    expected = prepare(path, SPEC)
    upright = open_image(path)
    # from memory: from a file, Pillow itself misreads an uncompressed TIFF that is to be turned
    with Image.open(io.BytesIO(stored)) as opened, path.open("rb") as file:
        for item in (str(path), stored, io.BytesIO(stored), file, opened, upright, np.asarray(upright)):
            prepared = prepare(as_picture(item).decodable(), SPEC)
            np.testing.assert_array_equal(prepared.tensor, expected.tensor)
            np.testing.assert_array_equal(prepared.pixels_HWC, expected.pixels_HWC)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)],
)
def test_pixels_of_another_form_are_refused_with_what_is_wanted(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 of shape \(height, width, 3\)"):
        as_picture(pixels).decodable()


def test_what_can_be_no_picture_is_refused() -> None:
    with pytest.raises(TypeError, match="a picture is a path, encoded bytes"):
        as_picture(7)
