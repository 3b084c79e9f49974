from pathlib import Path
from typing import get_args

from siftfunnel.shared.manifest import CodecKind, CodecSpec
from siftfunnel.shared.plain_words import codec_says, says, title_of
from tests.tinybundle import make_tiny_bundle


def test_a_network_is_called_by_what_it_does_and_says_what_it_sends(tmp_path: Path) -> None:
    plain = make_tiny_bundle(tmp_path / "a", "faces", ("a", "b"), (12, 16, 16), defence="none").manifest
    shut = make_tiny_bundle(tmp_path / "b", "shut", ("a", "b"), (4, 8, 8), defence="siftfunnel").manifest
    other = make_tiny_bundle(tmp_path / "c", "mine", ("a", "b"), (1, 8, 8), defence="own-idea").manifest
    assert [title_of(each) for each in (plain, shut, other)] == ["Ordinary network", "SiftFunnel", "mine"]
    assert "the phone sends 12 maps of 16 x 16 numbers" in says(plain)
    assert "and little else of the picture" in says(shut)
    assert "1 map of 8 x 8 numbers. Their defence: own-idea." in says(other)


def test_every_kind_of_codec_is_explained() -> None:
    for kind in get_args(CodecKind):
        told = codec_says(CodecSpec("x", kind, {"levels": 16, "dtype": "float32"}))
        assert told.startswith("Each number ")
        assert "None" not in told
    assert "one of 64 steps" in codec_says(CodecSpec("q6", "table", {"levels": 64}))
