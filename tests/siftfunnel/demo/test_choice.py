"""Which bundles fit which pictures, and what a configuration refuses."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from siftfunnel.demo.choice import (
    DemoConfig,
    about_inverters,
    choose_bundles,
    own_inverter,
    pictures_below,
)
from siftfunnel.shared.bundle import Bundle, write_bundle
from siftfunnel.shared.manifest import CodecSpec
from siftfunnel.shipped import Library
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter
from tests.tinynetwork import make_own_bundle


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a name is enough here")
    return path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A protected and an unprotected bundle of shapes, and one of letters."""
    models = tmp_path_factory.mktemp("models")
    make_tiny_bundle(models / "a-shield", name="a-shield", defence="siftfunnel")
    make_tiny_bundle(models / "bare", name="bare")
    make_tiny_bundle(models / "letters", name="letters", classes=("a", "b"))
    return Library((models,), ())


@pytest.fixture(scope="module")
def bundle(library: Library) -> Bundle:
    return library.find_bundle("bare")


def names(bundles: tuple[Bundle, ...]) -> list[str]:
    return [bundle.name for bundle in bundles]


def test_class_folders_are_labels(tmp_path: Path) -> None:
    picture(tmp_path / "dog" / "1.png")
    picture(tmp_path / "cat" / "deep" / "2.JPG")
    picture(tmp_path / "notes" / "read.txt")
    picture(tmp_path / ".hidden" / "3.png")
    assert set(pictures_below(tmp_path).values()) == {"cat", "dog"}


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    picture(tmp_path / "1.jpeg")
    assert set(pictures_below(tmp_path).values()) == {None}


@pytest.mark.parametrize("content", [None, "read.txt"])
def test_a_folder_without_pictures_is_refused(content: str | None, tmp_path: Path) -> None:
    if content:
        picture(tmp_path / content)
    with pytest.raises(ValueError, match="no pictures in it"):
        pictures_below(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        pictures_below(tmp_path / "nowhere")


def chosen(wanted: list[str], labels: list[str], library: Library, codec: str | None = None) -> list[str]:
    return names(choose_bundles(wanted, labels, library, codec).bundles)


def test_bundles_whose_classes_match_best_play_unprotected_first(library: Library) -> None:
    assert chosen([], ["circle", "square"], library) == ["bare", "a-shield"]
    assert chosen([], ["a"], library) == ["letters"]
    assert chosen([], ["a", "b", "circle"], library) == ["letters"]


def test_folders_that_name_no_class_play_without_labels_and_that_is_said(library: Library) -> None:
    found = choose_bundles([], ["unicorn"], library)
    assert names(found.bundles) == ["bare", "a-shield"]  # the classes with most networks
    assert not found.labelled
    assert "unicorn" in found.notes[0]
    assert "bare, a-shield" in found.notes[0]
    assert "--bundle" in found.notes[0]


def test_folders_that_name_some_classes_keep_their_labels(library: Library) -> None:
    found = choose_bundles([], ["circle", "unicorn"], library)
    assert names(found.bundles) == ["bare", "a-shield"]
    assert found.labelled
    assert "unicorn" in found.notes[0]


def test_a_flat_folder_plays_and_says_through_what(library: Library) -> None:
    found = choose_bundles([], [], library)
    assert names(found.bundles) == ["bare", "a-shield"]
    assert "bare, a-shield" in found.notes[0]


def test_a_bundle_without_the_wanted_codec_plays_only_when_it_is_named(library: Library) -> None:
    shield = choose_bundles(["a-shield"], [], library).bundles[0]
    manifest = replace(
        shield.manifest,
        name="a-rate",
        codecs=(CodecSpec("r1", "float", {"dtype": "float32"}),),
        default_codec="r1",
        files={},
    )
    files = {name: shield.path(name).read_bytes() for name in ("edge.onnx", "cloud.onnx")}
    write_bundle(library.models[0] / "a-rate", manifest, files, {})
    assert chosen([], ["circle"], library) == ["bare", "a-rate", "a-shield"]
    assert chosen([], ["circle"], library, "q4") == ["bare", "a-shield"]
    assert chosen(["a-rate"], ["circle"], library) == ["a-rate"]
    rmtree(library.models[0] / "a-rate")


def test_a_bundle_that_cannot_be_used_is_left_out_and_named(library: Library) -> None:
    broken = library.models[0] / "broken"
    make_tiny_bundle(broken, name="broken")
    (broken / "edge.onnx").write_bytes(b"something else")
    found = choose_bundles([], ["circle"], library)
    assert names(found.bundles) == ["bare", "a-shield"]
    assert str(broken) in found.notes[0]
    rmtree(broken)


def test_named_bundles_play_in_the_order_given(library: Library) -> None:
    assert chosen(["a-shield", "letters"], ["whatever"], library) == ["a-shield", "letters"]


def test_a_bundles_folder_is_as_good_as_its_name(library: Library) -> None:
    assert chosen([str(library.models[0] / "bare")], [], library) == ["bare"]


def test_without_any_bundle_the_error_says_what_to_give() -> None:
    with pytest.raises(ValueError, match="--bundle"):
        choose_bundles([], ["circle"], Library((), ()))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frames", 0, "frames must be at least 1"),
        ("rate_fps", -1.0, "rate_fps must be above 0"),
        ("rate_fps", float("nan"), "rate_fps must be above 0"),
        ("http_port", 70_000, "http_port must be at least 0"),
        ("page_host", "0.0.0.0", "token"),
        ("codec", "q99", "fp32, fp16, int8, q8, q7, q6, q5, q4"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_flag(
    field: str, value: Any, message: str, bundle: Bundle
) -> None:
    with pytest.raises(ValueError, match=message):
        DemoConfig(images=Path(), bundles=(bundle,), **{field: value})


def test_two_bundles_of_one_name_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="different names"):
        DemoConfig(images=Path(), bundles=(bundle, bundle))


def test_named_bundles_tell_which_folders_are_no_classes_of_theirs(library: Library) -> None:
    fitting = choose_bundles(["bare"], ["circle"], library)
    assert (fitting.labelled, fitting.notes) == (True, ())
    foreign = choose_bundles(["bare"], ["unicorn"], library)
    assert not foreign.labelled
    assert "unicorn" in foreign.notes[0]


def test_a_network_without_classes_plays_without_labels_and_that_is_said(library: Library) -> None:
    make_own_bundle(library.models[0] / "own", "own")
    found = choose_bundles(["own"], ["circle"], library)
    rmtree(library.models[0] / "own")
    assert not found.labelled
    assert "own: no list of classes" in found.notes[0]


def test_bundles_without_a_decoder_are_named_and_how_to_make_one(
    library: Library, bundle: Bundle, tmp_path: Path
) -> None:
    make_tiny_inverter(tmp_path / "for-bare", bundle)
    pair = (bundle, library.find_bundle("letters"))
    config = DemoConfig(images=Path("/my pictures"), bundles=pair, inverters=(tmp_path,))
    (note,) = about_inverters(config)
    assert note.startswith("no inverter for letters: ")
    command = f"siftfunnel lab inverter {pair[1].directory} --images '/my pictures' --out inverters/letters"
    assert command in note
    assert len(about_inverters(DemoConfig(images=Path(), bundles=pair))) == 2


def test_a_decoder_of_a_bundle_that_was_made_anew_is_named(bundle: Bundle, tmp_path: Path) -> None:
    make_tiny_inverter(tmp_path / "old", replace(bundle, digest="0" * 64))
    (note,) = about_inverters(DemoConfig(images=Path(), bundles=(bundle,), inverters=(tmp_path,)))
    assert f"{tmp_path / 'old'} is for another one of that name" in note


def test_a_decoder_that_somebody_names_must_be_there_and_whole(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such directory"):
        own_inverter(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no decoder lies there"):
        own_inverter(tmp_path / "empty")
    made = make_tiny_inverter(tmp_path / "mine", bundle)
    assert own_inverter(tmp_path / "mine") == tmp_path / "mine"
    (made.directory / "inverter.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"inverter\.onnx"):
        own_inverter(tmp_path / "mine")
