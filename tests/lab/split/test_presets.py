import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.facts import InputFacts
from siftfunnel.lab.split.presets import PRESETS, all_presets, preset
from siftfunnel.shared.preprocess import prepare

FACTS = InputFacts("image", "NCHW", 3, 32, 32, "float32")
WHITE = Image.new("RGB", (64, 48), (255, 255, 255))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("imagenet", [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
        ("caffe-bgr", [255 - 103.939, 255 - 116.779, 255 - 123.68]),
        ("minus-one-to-one", [1, 1, 1]),
        ("zero-to-one", [1, 1, 1]),
        ("raw", [255, 255, 255]),
        ("letterbox", [1, 1, 1]),
    ],
)
def test_white_becomes_what_the_preset_says(name: str, value: list[float]) -> None:
    tensor = prepare(WHITE, preset(name, FACTS)).tensor
    assert tensor.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(tensor[0, :, 16, 16], value, rtol=1e-5)


def test_only_the_letterbox_keeps_the_borders_and_pads() -> None:
    corners = {name: prepare(WHITE, preset(name, FACTS)).tensor[0, 0, 0, 0] for name in PRESETS}
    assert corners["letterbox"] == pytest.approx(114 / 255)
    assert corners["zero-to-one"] == 1


def test_layout_channels_and_type_are_the_graphs() -> None:
    spec = preset("imagenet", InputFacts("x", "NHWC", 1, 20, 24, "float16"))
    assert prepare(WHITE, spec).tensor.shape == (1, 20, 24, 1)
    assert prepare(WHITE, spec).tensor.dtype == np.float16


def test_a_graph_of_bytes_takes_pixels_whatever_the_preset() -> None:
    facts = InputFacts("x", "NHWC", 3, 32, 32, "uint8")
    assert list(all_presets(facts)) == ["imagenet", "caffe-bgr", "letterbox"]
    assert (prepare(WHITE, preset("imagenet", facts)).tensor == 255).all()


def test_words_of_a_preset_are_changed() -> None:
    spec = preset("zero-to-one", FACTS, colour="BGR", crop="stretch", mean=None)
    assert (spec.colour, spec.crop, spec.shorter_side, spec.scale) == ("BGR", "stretch", None, 1 / 255)
    with pytest.raises(NetworkError, match="std"):
        preset("zero-to-one", FACTS, std=(0.0, 1.0, 1.0))


def test_a_sized_letterbox_is_for_inputs_of_that_size() -> None:
    assert preset("letterbox-32", FACTS) == preset("letterbox", FACTS)
    with pytest.raises(NetworkError, match="--size 640x640"):
        preset("letterbox-640", FACTS)
    with pytest.raises(NetworkError, match="there are imagenet, caffe-bgr"):
        preset("letterbox-big", FACTS)
