import shlex
from pathlib import Path
from typing import get_args

from siftfunnel.shared.input_spec import Crop, InputSpec
from siftfunnel.shared.manifest import CodecKind, CodecSpec
from siftfunnel.shared.plain_words import codec_says, how_to_invert, input_says, says, title_of
from siftfunnel.shared.tensors import TensorSpec, pack
from tests.shared.test_manifest_2 import own
from tests.tinybundle import make_tiny_bundle


def test_a_network_is_called_by_what_it_does_and_says_what_it_sends(tmp_path: Path) -> None:
    plain = make_tiny_bundle(tmp_path / "a", "faces", ("a", "b"), (12, 16, 16), defence="none").manifest
    shut = make_tiny_bundle(tmp_path / "b", "shut", ("a", "b"), (4, 8, 8), defence="siftfunnel").manifest
    other = make_tiny_bundle(tmp_path / "c", "mine", ("a", "b"), (1, 8, 8), defence="own-idea").manifest
    assert [title_of(each) for each in (plain, shut, other)] == ["Ordinary network", "SiftFunnel", "mine"]
    assert "the phone sends 12 maps of 16 x 16 numbers" in says(plain)
    assert "and little else of the picture" in says(shut)
    assert "1 map of 8 x 8 numbers. Their defence: own-idea." in says(other)


def test_several_tensors_are_told_one_by_one_or_together() -> None:
    tensors = [TensorSpec(f"t{place}", shape) for place, shape in enumerate([(640, 7, 7), (16,), (8, 1, 1)])]

    def told(*chosen: TensorSpec) -> str:
        return says(own(tensors=chosen, feature=pack(chosen))).partition(". ")[0]

    sends = "Instead of the photo, the phone sends "
    assert told(*tensors) == f"{sends}640 maps of 7 x 7 numbers, 16 numbers and 8 numbers"
    assert told(*tensors[:2]) == f"{sends}640 maps of 7 x 7 numbers and 16 numbers"
    more = TensorSpec("t3", (2,))
    assert told(*tensors, more) == f"{sends}4 tensors of 31,386 numbers together"


def test_a_command_can_be_pasted_whatever_folders_are_called() -> None:
    command = how_to_invert(Path("/my nets/it's mine"), "mine", "/my pictures")
    assert shlex.split(command)[3:] == [
        "/my nets/it's mine",
        "--images",
        "/my pictures",
        "--out",
        "inverters/mine",
    ]


def test_every_kind_of_codec_is_explained() -> None:
    for kind in get_args(CodecKind):
        told = codec_says(CodecSpec("x", kind, {"levels": 16, "dtype": "float32"}))
        assert told.startswith("Each number ")
        assert "None" not in told
    assert "one of 64 steps" in codec_says(CodecSpec("q6", "table", {"levels": 64}))


def test_every_rule_for_an_input_is_told() -> None:
    for crop in get_args(Crop):
        assert input_says(InputSpec(8, 8, crop=crop)).startswith(
            {"centre": "largest centre cut, lanczos; ", "stretch": "stretched, lanczos; "}.get(crop, crop)
        )
    pixels = InputSpec(
        8, 8, (0,), (1,), scale=1, dtype="uint8", colour="grey", filter="nearest", antialias=False
    )
    assert input_says(pixels) == (
        "largest centre cut, nearest without antialiasing; the pixel itself, grey, NCHW uint8"
    )
