"""A real `cloud_server` in this process, on port 0, and pictures to send to it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.tls import TlsFiles
from tests.tinybundle import make_tiny_bundle


@contextmanager
def serving(
    *bundles: Bundle, port: int = 0, tls: TlsFiles | None = None, window: int = 64, **told: Any
) -> Iterator[str]:
    """Serve bundles from a thread of its own; gives the address."""
    ready: Future[str] = Future()
    stop = threading.Event()
    endpoint = Endpoint("127.0.0.1", port)
    config = CloudConfig(
        bundles=tuple(bundle.directory for bundle in bundles),
        listen=None if tls else endpoint,
        tls_listen=endpoint if tls else None,
        tls=tls,
        window_frames=window,
        drain_s=2.0,
        **told,
    )

    async def main() -> None:
        async with CloudServer(config) as server:
            ready.set_result(str(server.addresses.grpc_tls if tls else server.addresses.grpc))
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ready.result(timeout=30)
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", name="other", seed=7)


@pytest.fixture(scope="session")
def server(bundle: Bundle) -> Iterator[str]:
    """Address of a real server that serves the tiny bundle."""
    with serving(bundle) as address:
        yield address


@pytest.fixture
def serve() -> Callable[..., AbstractContextManager[str]]:
    """Starts further servers; see `serving`."""
    return serving


def pixels(seed: int, height: int = 40, width: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_pictures(directory: Path, names: list[str]) -> list[Path]:
    """Write a small picture per name; names may hold folders."""
    paths = []
    for number, name in enumerate(names):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number)).save(path)
        paths.append(path)
    return paths
