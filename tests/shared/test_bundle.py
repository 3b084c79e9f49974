import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.shared.bundle import (
    Bundle,
    BundleError,
    CodecSpec,
    Problem,
    find_bundles,
    find_inverters,
    load_bundle,
    load_inverter,
    write_bundle,
    write_inverter,
)
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter, run_model


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_tiny_bundle(tmp_path / "models" / "tiny")


def test_the_digest_is_the_sha256_of_the_stored_manifest(bundle):
    stored = (bundle.directory / "manifest.json").read_bytes()
    assert bundle.digest == hashlib.sha256(stored).hexdigest()
    assert load_bundle(bundle.directory) == bundle


def test_the_report_names_the_digest_and_is_no_part_of_it(bundle):
    assert bundle.report()["digest"] == bundle.digest
    (bundle.directory / "report.json").write_text(json.dumps({"digest": bundle.digest, "accuracy": 0.5}))
    assert load_bundle(bundle.directory).digest == bundle.digest
    assert bundle.report() == {"digest": bundle.digest, "accuracy": 0.5}


def test_a_report_of_another_bundle_is_refused(bundle):
    (bundle.directory / "report.json").write_text('{"digest": "abc"}')
    with pytest.raises(BundleError, match=f"digest abc, the manifest has {bundle.digest}; one of both"):
        bundle.report()


def test_a_bundle_without_a_report_has_an_empty_one(bundle):
    (bundle.directory / "report.json").unlink()
    assert bundle.report() == {}


def test_a_changed_file_is_refused_by_its_digest(bundle):
    path = bundle.path("edge.onnx")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(
        BundleError, match=r"edge\.onnx: has changed: SHA-256 [0-9a-f]{64}, the manifest says"
    ):
        load_bundle(bundle.directory)


def test_reading_a_file_verifies_it_again(bundle):
    assert bundle.read("edge.onnx") == bundle.path("edge.onnx").read_bytes()
    bundle.path("edge.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"edge\.onnx: has changed: 1 bytes, the manifest says"):
        bundle.read("edge.onnx")


def test_a_directory_in_a_files_place_is_refused(bundle):
    bundle.path("edge.onnx").unlink()
    bundle.path("edge.onnx").mkdir()
    with pytest.raises(BundleError, match=r"edge\.onnx: cannot be read: Is a directory"):
        load_bundle(bundle.directory)


def test_a_file_of_another_length_is_refused(bundle):
    path = bundle.path("cloud.onnx")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(
        BundleError, match=r"cloud\.onnx: has changed: \d+ bytes, the manifest says \d+; fetch"
    ):
        load_bundle(bundle.directory)


def test_only_the_files_that_are_needed_are_verified(bundle):
    bundle.path("cloud.onnx").unlink()
    assert load_bundle(bundle.directory, need=["edge.onnx"]) == bundle
    with pytest.raises(BundleError, match=r"cloud\.onnx: listed in the manifest but not there"):
        load_bundle(bundle.directory)


def test_a_needed_file_that_is_not_listed_is_refused(bundle):
    with pytest.raises(BundleError, match=r"extra\.onnx is not listed in its manifest"):
        load_bundle(bundle.directory, need=["extra.onnx"])
    with pytest.raises(
        BundleError, match=r"no file 'extra\.onnx' in its manifest; listed: cloud\.onnx, edge\.onnx"
    ):
        bundle.path("extra.onnx")


def test_a_changed_manifest_has_another_digest(bundle):
    path = bundle.directory / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"circle", b"cercle"))
    assert load_bundle(bundle.directory).digest != bundle.digest


def test_an_empty_directory_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json: no bundle here: no such file"):
        load_bundle(tmp_path)


def test_a_damaged_table_is_found_when_the_bundle_is_loaded(bundle):
    path = bundle.directory / "manifest.json"
    content = json.loads(path.read_bytes())
    content["codecs"][5]["parameters"]["counts"] = "AAAA"
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="tiny: codec q6: field 'counts' holds 3 bytes"):
        load_bundle(bundle.directory)


def test_writing_fills_in_the_files_and_replaces_what_was_there(bundle):
    again = write_bundle(bundle.directory, bundle.manifest, {"edge.onnx": b"e"}, {"accuracy": 1})
    assert list(again.manifest.files) == ["edge.onnx"]
    assert again.path("edge.onnx").read_bytes() == b"e"
    names = sorted(path.name for path in bundle.directory.iterdir())
    assert names == ["edge.onnx", "manifest.json", "report.json"]
    assert [path.name for path in bundle.directory.parent.iterdir()] == ["tiny"]


def test_nothing_is_written_when_a_codec_is_wrong(bundle, tmp_path):
    wrong = dataclasses.replace(
        bundle.manifest, codecs=(CodecSpec("fp32", "float", {"dtype": "bfloat16"}),), default_codec="fp32"
    )
    with pytest.raises(BundleError, match="codec fp32: field 'dtype' must be"):
        write_bundle(tmp_path / "wrong", wrong, {}, {})
    assert not (tmp_path / "wrong").exists()


def test_a_failed_write_leaves_the_old_bundle_as_it_was(bundle):
    with pytest.raises(TypeError):
        write_bundle(bundle.directory, bundle.manifest, {"edge.onnx": "text"}, {})
    assert load_bundle(bundle.directory) == bundle


def test_bundles_are_found_sorted_and_problems_are_listed_with_their_reason(tmp_path):
    models = tmp_path / "models"
    second, first = make_tiny_bundle(models / "b", name="b"), make_tiny_bundle(models / "a", name="a")
    (models / "c").mkdir()
    (models / "c" / "manifest.json").write_text("{}")
    (models / "not-a-bundle").mkdir()
    (models / ".hidden").mkdir()
    (models / ".hidden" / "manifest.json").write_text("{}")
    found = find_bundles(models, tmp_path / "nowhere", second.directory)
    assert found[:2] == [first, second]
    assert found[4] == second
    damaged, missing = found[2], found[3]
    assert isinstance(damaged, Problem)
    assert damaged.directory == models / "c"
    assert "field 'schema_version' is missing" in damaged.reason
    assert missing == Problem(tmp_path / "nowhere", f"{tmp_path / 'nowhere'}: no such directory")


def test_finding_verifies_the_files_it_is_asked_to(bundle):
    bundle.path("edge.onnx").write_bytes(b"")
    assert find_bundles(bundle.directory.parent) == [bundle]
    (problem,) = find_bundles(bundle.directory.parent, need=["edge.onnx"])
    assert isinstance(problem, Problem)
    assert "has changed" in problem.reason


# inverters


def test_an_inverter_names_the_bundle_it_was_trained_for(bundle, tmp_path):
    inverter = make_tiny_inverter(tmp_path / "inverters" / "tiny", bundle)
    assert (inverter.bundle_name, inverter.bundle_digest) == ("tiny", bundle.digest)
    assert load_inverter(inverter.directory) == inverter
    assert find_inverters(tmp_path / "inverters") == [inverter]
    inverter.require_digest(bundle.digest)
    with pytest.raises(BundleError, match=f"trained for tiny with digest {bundle.digest}, not {'0' * 64}"):
        inverter.require_digest("0" * 64)


def test_a_changed_inverter_is_refused(bundle, tmp_path):
    inverter = make_tiny_inverter(tmp_path / "tiny", bundle)
    inverter.path().write_bytes(b"x" * inverter.path().stat().st_size)
    with pytest.raises(BundleError, match=r"inverter\.onnx: has changed: SHA-256"):
        load_inverter(inverter.directory)
    (problem,) = find_inverters(inverter.directory)
    assert isinstance(problem, Problem)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema_version", 2, r"'schema_version' must lie in \[1, 1\], not 2"),
        ("bundle_digest", "abc", "'bundle_digest' must be 64 lower-case hex digits, not 'abc'"),
        ("bundle_name", "a/b", "'bundle_name' must be letters"),
        ("report", None, "'report' must be an object, not null"),
        ("files", {}, r"inverter\.onnx is not listed in its manifest"),
        ("more", 1, "'more' is unknown"),
    ],
)
def test_a_wrong_field_of_an_inverter_is_named(bundle, tmp_path, field, value, message):
    inverter = make_tiny_inverter(tmp_path / "tiny", bundle)
    path = inverter.directory / "inverter.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(BundleError, match=message):
        load_inverter(inverter.directory)


def test_an_inverter_for_no_digest_is_not_written(tmp_path):
    with pytest.raises(BundleError, match="64 lower-case hex digits"):
        write_inverter(tmp_path / "x", "tiny", "abc", b"model", {})
    assert not (tmp_path / "x").exists()


# the tiny bundles themselves


def test_tiny_models_take_any_batch_and_fit_together(bundle, tmp_path):
    inverter = make_tiny_inverter(tmp_path / "tiny", bundle)
    images = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    features = run_model(bundle.path("edge.onnx").read_bytes(), images)
    assert features.shape == (5, 12, 8, 8)
    assert features.min() == 0
    assert run_model(bundle.path("cloud.onnx").read_bytes(), features).shape == (5, 3)
    pictures = run_model(inverter.path().read_bytes(), features)
    assert pictures.shape == (5, 3, 32, 32)
    assert 0 <= pictures.min() < pictures.max() <= 1


def test_the_same_seed_gives_the_same_tiny_bundle_and_another_another(bundle, tmp_path):
    assert make_tiny_bundle(tmp_path / "same").digest == bundle.digest
    assert make_tiny_bundle(tmp_path / "other", seed=1).digest != bundle.digest


# what lies around it


def test_what_is_not_of_the_bundle_is_never_replaced(bundle, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("mine too")
    (bundle.directory / "notes.md").write_text("about this bundle")
    for place, named in ((mine, "thesis.tex"), (tmp_path / "file", "file"), (bundle.directory, "notes.md")):
        with pytest.raises(BundleError, match=f"{named}.* left alone"):
            write_bundle(place, bundle.manifest, {"edge.onnx": b"e"}, {})
        with pytest.raises(BundleError, match="left alone"):
            write_inverter(place, bundle.name, bundle.digest, b"model", {})
    assert (mine / "thesis.tex").read_text() == "years of work"
    assert load_bundle(bundle.directory) == bundle


def test_somebody_elses_manifest_json_does_not_make_a_folder_a_bundle(bundle, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "a browser extension"}')
    with pytest.raises(BundleError, match=r"manifest\.json.* left alone"):
        write_bundle(tmp_path / "web", bundle.manifest, {"edge.onnx": b"e"}, {})


def test_an_empty_folder_and_a_link_to_a_bundle_are_written_to(bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(bundle.directory)
    for place in (tmp_path / "empty", tmp_path / "link"):
        write_bundle(place, bundle.manifest, {"edge.onnx": b"e"}, {})
    assert (tmp_path / "link").is_symlink()
    assert bundle.path("edge.onnx").read_bytes() == b"e"


def test_a_full_disk_names_the_bundle_and_leaves_the_old_one(bundle, monkeypatch):
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device; free some room") as told:
        write_bundle(bundle.directory, bundle.manifest, {"edge.onnx": b"e"}, {})
    assert told.value.filename == str(bundle.directory)
    monkeypatch.undo()
    assert load_bundle(bundle.directory) == bundle


@pytest.mark.parametrize("name", ["manifest.json", "report.json", "edge.onnx"])
def test_a_huge_file_or_a_pipe_in_a_files_place_is_refused_unread(bundle, name):
    path = bundle.directory / name
    path.unlink()
    os.mkfifo(path)
    refuse_to_read(bundle, "a device, a pipe or a socket")
    path.unlink()
    with path.open("wb") as file:
        file.truncate(3 * 10**9)
    refuse_to_read(bundle, "3000000000 bytes")


def refuse_to_read(bundle: Bundle, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle.directory).report()


def test_an_inverter_whose_statement_is_a_pipe_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "inverter.json")
    with pytest.raises(BundleError, match="a device, a pipe or a socket"):
        load_inverter(tmp_path)


def test_a_folder_that_may_not_be_read_does_not_hide_the_bundles_beside_it(bundle, monkeypatch):
    models = bundle.directory.parent
    (models / "lost+found").mkdir()
    stat = os.stat

    def refuse(path, *arguments, **named):
        if "lost+found/" in os.fspath(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", refuse)
    assert find_bundles(models) == [bundle]


def test_a_bad_bundle_does_not_hide_the_good_ones(bundle):
    models = bundle.directory.parent
    (models / "bad").mkdir()
    (models / "bad" / "manifest.json").write_bytes(b"[" * 100_000)
    (models / "loop").symlink_to("loop")
    problem, found = find_bundles(models)
    assert isinstance(problem, Problem)
    assert found == bundle
