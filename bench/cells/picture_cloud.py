"""The cloud of cloud-only: takes picture files and runs the whole network.

It is `siftfunnel cloud` in everything but what a frame holds: the same service, session, queue, batching and
worker threads, so that both modes stand on the same serving path. Decoding is done by the workers.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import grpc

from siftfunnel import __version__
from siftfunnel.bench.cells.paths import WholeNetwork
from siftfunnel.bench.cells.picture_codec import PictureCodec
from siftfunnel.bench.children import tell, until_told
from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.catalogue import Catalogue, ServedBundle
from siftfunnel.cloud_server.config import CloudConfig, default_workers
from siftfunnel.cloud_server.engine import warm_up
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.service import SplitInferenceService
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.ports import Endpoint

_GRACE_S = 1.0


class PictureCloud:
    """Serves bundles as whole networks; start it inside a running event loop.

    Args:
        bundles: Directories; a client names one by its digest.
        codecs: Names such as "jpeg-75", in wire order.
        host: Where it listens, on a free port.
    """

    def __init__(self, bundles: Iterable[Path], codecs: Iterable[str], host: str) -> None:
        self._loop = asyncio.get_running_loop()
        config, metrics, names = (
            CloudConfig(tuple(bundles), listen=Endpoint(host, 0)),
            Metrics(),
            tuple(codecs),
        )
        served = [self._open(bundle, names, metrics) for bundle in config.bundles]
        self._catalogue = Catalogue(served)
        self._endpoint = Endpoint(host, 0)
        service = SplitInferenceService(self._catalogue, metrics, config.window_frames, __version__)
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._catalogue.max_message_bytes),
        )
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((service.handler(),))

    def _open(self, directory: Path, names: tuple[str, ...], metrics: Metrics) -> ServedBundle:
        bundle = load_bundle(directory)
        spec = bundle.manifest.input
        # typed as a bundle's sealed codecs are; they differ in what they encode only
        codecs = cast("Any", tuple(PictureCodec(name, index, spec) for index, name in enumerate(names)))
        network, policy = WholeNetwork(bundle), BatchPolicy()
        given = bundle.manifest.given
        warm_up(network, spec.tensor_shape, given, policy.max_batch_size)
        instruments = metrics.for_bundle(bundle.name, bundle.digest, list(names))
        lane = Lane(
            codecs, network, Reading(given), policy, default_workers(), instruments, self._wake, bundle.name
        )
        return ServedBundle(bundle, bundle.name, codecs, lane, instruments)

    async def start(self) -> str:
        """Listen; its HOST:PORT."""
        port = self._server.add_insecure_port(str(self._endpoint))
        for served in self._catalogue:
            served.lane.start()
        await self._server.start()
        return str(self._endpoint.with_port(port))

    async def stop(self) -> None:
        """Stop at once."""
        await self._server.stop(_GRACE_S)
        for served in self._catalogue:
            await asyncio.to_thread(served.lane.close, _GRACE_S)

    def _wake(self, owners: Iterable[Owner]) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_wake_all, owners)


def _wake_all(owners: Iterable[Owner]) -> None:
    for owner in owners:
        owner.wake()


def serve(host: str, bundles: list[str], codecs: list[str]) -> None:
    """The server's process: tells its address, as `siftfunnel cloud` does, and serves until told to stop."""

    async def run() -> None:
        stop = until_told()
        cloud = PictureCloud(map(Path, bundles), codecs, host)
        tell(grpc=await cloud.start())
        await stop.wait()
        await cloud.stop()

    asyncio.run(run())
