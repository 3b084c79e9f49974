"""The servers of `bench serving`, each in a process of its own: ours with pinned threads, and a floor."""

import asyncio
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc

from siftfunnel.bench.children import Child, announced, child, tell, until_told
from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.process import settle_memory
from siftfunnel.cloud_server.server import CloudServer, serve
from siftfunnel.cloud_server.service import SERVICE
from siftfunnel.shared.access import ClientLimits
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import LOOPBACK, Endpoint
from siftfunnel.shared.rpc import split_inference_pb2 as pb

MAX_BATCH = 16
QUEUE_LIMIT_FRAMES = 8192
MOST_STREAMS = 8192


def cloud_server(
    bundle: Bundle, *, model_core: int, loop_core: int, max_batch: int = MAX_BATCH
) -> AbstractContextManager[Child]:
    """A cloud server whose model runs on one core, and everything else on another."""
    settings = {"model_core": model_core, "loop_core": loop_core, "max_batch": max_batch}
    return announced(child(serve_bundle, bundle=str(bundle.directory), **settings))


def floor_server(core: int) -> AbstractContextManager[Child]:
    """Plain gRPC with nothing behind it, on one core."""
    return announced(child(serve_nothing, core=core))


def serve_bundle(bundle: str, model_core: int, loop_core: int, max_batch: int) -> None:
    """Serve until told to stop."""
    config = CloudConfig(
        bundles=(Path(bundle),),
        listen=Endpoint(LOOPBACK, 0),
        workers=1,
        batching=BatchPolicy(max_batch, 0.0, QUEUE_LIMIT_FRAMES),
        ceilings=Ceilings(
            connections=MOST_STREAMS,
            calls=MOST_STREAMS,
            client=ClientLimits(calls=MOST_STREAMS, frames=QUEUE_LIMIT_FRAMES),
        ),
    )

    def on_ready(server: CloudServer) -> None:
        labels = {served.label for served in server.catalogue}
        for thread in threading.enumerate():
            name, _, number = thread.name.rpartition("-")
            if name in labels and number.isdigit() and thread.native_id is not None:
                os.sched_setaffinity(thread.native_id, {model_core})
        settle_memory()
        tell(grpc=str(server.addresses.grpc))

    async def run() -> None:
        await serve(config, until_told(), on_ready)

    os.sched_setaffinity(0, {loop_core})
    asyncio.run(run())


def serve_nothing(core: int) -> None:
    """Give every message the same reply at once, until told to stop."""
    os.sched_setaffinity(0, {core})
    asyncio.run(_reply_at_once())


async def _reply_at_once() -> None:
    reply = pb.Reply(sequence=1, prediction=pb.Prediction(class_index=[1], score=[1.0])).SerializeToString()

    async def answer(unused_requests: object, context: Any) -> None:
        while await context.read() is not grpc.aio.EOF:
            await context.write(reply)

    stop = until_told()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    methods = {"Stream": grpc.stream_stream_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    tell(grpc=f"{LOOPBACK}:{port}")
    await stop.wait()
    await server.stop(None)
