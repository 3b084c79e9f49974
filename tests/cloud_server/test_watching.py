"""Bundles that appear, change and go in the model directories of a running server."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from siftfunnel.cloud_server import repository
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.shared.bundle import Bundle
from tests.cloud_server.conftest import Frames, Serve, metadata
from tests.tinybundle import make_tiny_bundle


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "_WATCH_S", 0.05)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


def served(server: CloudServer) -> dict[str, str]:
    return {each.label: each.bundle.digest for each in server.catalogue}


def put(bundle: Bundle, place: Path) -> None:
    """As a careful operator does: beside it first, then in one step."""
    hidden = place.with_name(f".{place.name}")
    shutil.copytree(bundle.directory, hidden)
    hidden.rename(place)


async def test_what_lies_in_the_directories_is_what_is_served(
    serve: Serve, frames: Frames, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models"
    first = make_tiny_bundle(models / "tiny")
    changed = make_tiny_bundle(tmp_path / "changed" / "tiny", seed=5)
    other = make_tiny_bundle(tmp_path / "other", name="other", seed=7)
    async with serve(bundles=(models,), watch_models=True) as (server, stub):
        call = stub.Stream(metadata=metadata(first))
        await call.write(frames.frame(0))
        assert (await call.read()).HasField("prediction")
        put(other, models / "other")
        await until(lambda: "other" in served(server))
        # a file that is half there changes nothing, and the rest of it is waited for
        model = models / "tiny" / "cloud.onnx"
        whole = model.read_bytes()
        model.write_bytes(whole[:100])
        shutil.rmtree(models / "other")
        await until(lambda: "other" not in served(server))
        assert served(server) == {"tiny": first.digest}
        model.write_bytes(whole)
        await call.write(frames.frame(1))
        assert (await call.read()).sequence == 1
        shutil.rmtree(models / "tiny")
        put(changed, models / "tiny")
        await until(lambda: served(server) == {"tiny": changed.digest})
        assert (await stub.Infer(frames.frame(2), metadata=metadata(changed))).sequence == 2
        shutil.rmtree(models / "tiny")
        await until(lambda: not served(server))


async def test_a_new_bundle_that_fails_its_checks_is_told_and_the_others_go_on(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models"
    tiny = make_tiny_bundle(models / "tiny")
    other = make_tiny_bundle(tmp_path / "other", name="other", seed=7)
    other.path("cloud.onnx").write_bytes(b"no model")
    async with serve(bundles=(models,), watch_models=True) as (server, _):
        put(other, models / "other")
        await until(lambda: "not served" in caplog.text)
        assert served(server) == {"tiny": tiny.digest}
