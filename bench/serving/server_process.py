"""`python -m siftfunnel.bench.serving.server_process`: a cloud server whose threads are pinned.

Prints the address as one line of JSON, serves until SIGTERM.
"""

import argparse
import asyncio
import json
import os
import signal
import threading
from pathlib import Path

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.process import settle_memory
from siftfunnel.cloud_server.server import CloudServer, serve
from siftfunnel.shared.ports import Endpoint

QUEUE_LIMIT_FRAMES = 8192
MOST_STREAMS = 8192


def main() -> None:
    """Start, pin, serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--max-batch", type=int, required=True)
    parser.add_argument(
        "--model-core", type=int, required=True, help="core of the thread that runs the model"
    )
    parser.add_argument("--loop-core", type=int, required=True, help="core of everything else")
    args = parser.parse_args()
    config = CloudConfig(
        bundles=(args.bundle,),
        listen=Endpoint("127.0.0.1", 0),
        workers=1,
        batching=BatchPolicy(args.max_batch, 0.0, QUEUE_LIMIT_FRAMES),
        ceilings=Ceilings(connections=MOST_STREAMS, calls=MOST_STREAMS, calls_per_client=MOST_STREAMS),
    )
    os.sched_setaffinity(0, {args.loop_core})
    asyncio.run(_serve(config, args.model_core))


async def _serve(config: CloudConfig, model_core: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def on_ready(server: CloudServer) -> None:
        for served in server.catalogue:
            for thread in threading.enumerate():
                name, _, number = thread.name.rpartition("-")
                if name == served.label and number.isdigit() and thread.native_id is not None:
                    os.sched_setaffinity(thread.native_id, {model_core})
        settle_memory()
        print(json.dumps({"grpc": str(server.addresses.grpc), "pid": os.getpid()}), flush=True)

    await serve(config, stop, on_ready)


if __name__ == "__main__":
    main()
