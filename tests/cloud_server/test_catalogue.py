"""Which bundles a server serves, and which it names and refuses."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel.cloud_server import engine as engines
from siftfunnel.cloud_server.catalogue import Catalogue, open_catalogue
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.engine import EngineOptions, OnnxRuntimeEngine
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.bundle import Bundle, BundleError, write_bundle
from siftfunnel.shared.manifest import Manifest
from tests.tinybundle import make_tiny_bundle


def nobody(owners: Iterable[Owner]) -> None:
    assert not list(owners)


def opened(config: CloudConfig, **changes: object) -> Catalogue:
    return open_catalogue(replace(config, **changes), Metrics(), nobody)


def test_every_bundle_of_a_model_directory_is_served(config: CloudConfig, tmp_path: Path) -> None:
    made = [make_tiny_bundle(tmp_path / name, name=name, seed=place) for place, name in enumerate("ab")]
    catalogue = opened(config, bundles=(tmp_path,))
    assert [served.label for served in catalogue] == ["a", "b"]
    for bundle in made:
        served = catalogue.get(bundle.digest)
        assert served is not None
        assert served.bundle.name == bundle.name
    assert catalogue.get("0" * 64) is None


def test_a_bundle_named_twice_is_served_once(config: CloudConfig, bundle: Bundle) -> None:
    assert len(opened(config, bundles=(bundle.directory, bundle.directory.parent))) == 1


def test_two_bundles_of_one_name_are_told_apart_by_digest(config: CloudConfig, tmp_path: Path) -> None:
    made = [make_tiny_bundle(tmp_path / str(seed), name="same", seed=seed) for seed in (1, 2)]
    labels = [served.label for served in opened(config, bundles=(tmp_path,))]
    assert labels == [f"same@{bundle.digest[:8]}" for bundle in made]


def test_a_changed_file_stops_the_start_and_is_named(config: CloudConfig, tmp_path: Path) -> None:
    make_tiny_bundle(tmp_path / "good")
    bad = make_tiny_bundle(tmp_path / "bad", seed=3)
    model = bad.path("cloud.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match=r"bad/cloud\.onnx: has changed.*--skip-bad"):
        opened(config, bundles=(tmp_path,))
    catalogue = opened(config, bundles=(tmp_path,), skip_bad=True)
    assert [served.bundle.directory.name for served in catalogue] == ["good"]
    assert [problem.directory.name for problem in catalogue.problems] == ["bad"]


@contextmanager
def nobody_but_root() -> Iterator[None]:
    """Be an ordinary user, for whom rights count."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_folder_that_may_not_be_looked_into_is_no_bundle_and_ends_nothing(
    config: CloudConfig, bundle: Bundle, skip_bad: bool
) -> None:
    # not below pytest's own folder, which other users may not enter
    with tempfile.TemporaryDirectory() as volume:
        Path(volume).chmod(0o755)
        shutil.copytree(bundle.directory, Path(volume) / "good")
        closed = Path(volume) / "lost+found"
        closed.mkdir(mode=0o000 if os.geteuid() else 0o700)
        with nobody_but_root():
            assert [each.label for each in opened(config, bundles=(Path(volume),), skip_bad=skip_bad)] == [
                "tiny"
            ]
        closed.chmod(0o700)


def test_a_model_directory_that_may_not_be_read_is_named(config: CloudConfig) -> None:
    with tempfile.TemporaryDirectory() as volume:
        closed = Path(volume) / "models"
        closed.mkdir(mode=0o000 if os.geteuid() else 0o700)
        Path(volume).chmod(0o755)
        with nobody_but_root(), pytest.raises(BundleError, match="models: cannot be read: Permission denied"):
            opened(config, bundles=(closed,))
        closed.chmod(0o700)


def test_a_model_that_does_not_fit_its_manifest_is_named(config: CloudConfig, tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    files = {name: bundle.path(name).read_bytes() for name in ("edge.onnx", "cloud.onnx")}
    four = replace(bundle.manifest, classes=("a", "b", "c", "d"))
    write_bundle(tmp_path / "tiny", four, files, {})
    with pytest.raises(BundleError, match=r"output logits is tensor\(float\) batchx3, .* says .*Nx4"):
        opened(config, bundles=(tmp_path,))


def test_a_device_bundle_without_the_cloud_half_is_refused(
    config: CloudConfig, bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(bundle.directory, tmp_path / "device")
    (tmp_path / "device" / "cloud.onnx").unlink()
    with pytest.raises(BundleError, match=r"cloud\.onnx: listed in the manifest but not there"):
        opened(config, bundles=(tmp_path,))


def test_whatever_a_model_raises_when_it_is_opened_costs_its_own_bundle(
    config: CloudConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moody(OnnxRuntimeEngine):
        """Breaks on one bundle in a way that nobody foresaw."""

        def __init__(self, model_path: Path, manifest: Manifest, options: EngineOptions) -> None:
            if model_path.parent.name == "bad":
                raise KeyError("a defect")
            super().__init__(model_path, manifest, options)

    monkeypatch.setattr(engines, "ENGINES", {"onnxruntime": Moody})
    for seed, name in enumerate(("bad", "good")):
        make_tiny_bundle(tmp_path / name, name=name, seed=seed)
    with pytest.raises(BundleError, match=r"bad: KeyError: 'a defect'"):
        opened(config, bundles=(tmp_path,))
    catalogue = opened(config, bundles=(tmp_path,), skip_bad=True)
    assert [served.label for served in catalogue] == ["good"]
    assert [problem.directory.name for problem in catalogue.problems] == ["bad"]


def test_a_directory_without_bundles_is_an_error_that_names_it(config: CloudConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="empty: no bundle in it"):
        opened(config, bundles=(tmp_path / "empty",))
    with pytest.raises(BundleError, match="missing: no such directory"):
        opened(config, bundles=(tmp_path / "missing",))


def test_nothing_left_to_serve_is_an_error_even_when_bad_bundles_may_be_skipped(
    config: CloudConfig, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"no bundle is left to serve: .*missing: no such directory"):
        opened(config, bundles=(tmp_path / "missing",), skip_bad=True)
