"""The cloud of cloud-only: takes picture files and runs the whole network.

It is `siftfunnel cloud` in everything but what a frame holds, so that both modes stand on the same serving
path. Decoding is done by the workers.
"""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from siftfunnel.bench.cells.paths import WholeNetwork
from siftfunnel.bench.cells.picture_codec import PictureCodec
from siftfunnel.bench.children import tell, until_told
from siftfunnel.cloud_server import server
from siftfunnel.cloud_server.answers import Reading
from siftfunnel.cloud_server.catalogue import Catalogue, ServedBundle
from siftfunnel.cloud_server.config import CloudConfig, default_workers
from siftfunnel.cloud_server.engine import warm_up
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.ports import Endpoint

Wake = Callable[[Iterable[Owner]], None]


def serve(host: str, bundles: list[str], codecs: list[str]) -> None:
    """The server's process: tells its address, as `siftfunnel cloud` does, and serves until told to stop.

    Args:
        host: Where it listens, on a free port.
        bundles: Directories, served as whole networks; a client names one by its digest.
        codecs: Names such as "jpeg-75", in wire order.
    """
    config = CloudConfig(tuple(map(Path, bundles)), Endpoint(host, 0))

    def on_ready(running: server.CloudServer) -> None:
        tell(grpc=str(running.addresses.grpc))

    def open_all(config: CloudConfig, metrics: Metrics, wake: Wake) -> Catalogue:
        return Catalogue(_open(directory, config, metrics, wake, codecs) for directory in config.bundles)

    async def run() -> None:
        await server.serve(config, until_told(), on_ready, open_all)

    asyncio.run(run())


def _open(
    directory: Path, config: CloudConfig, metrics: Metrics, wake: Wake, names: list[str]
) -> ServedBundle:
    bundle = load_bundle(directory)
    spec, given, policy = bundle.manifest.input, bundle.manifest.given, config.batching
    # typed as a bundle's sealed codecs are; they differ in what they encode only
    codecs = cast("Any", tuple(PictureCodec(name, index, spec) for index, name in enumerate(names)))
    network = WholeNetwork(bundle)
    warm_up(network, spec.tensor_shape, given, policy.max_batch_size)
    instruments = metrics.for_bundle(bundle.name, bundle.digest, names)
    lane = Lane(codecs, network, Reading(given), policy, default_workers(), instruments, wake, bundle.name)
    return ServedBundle(bundle, bundle.name, codecs, lane, instruments)
