"""Plain gRPC with nothing behind it, for comparison: every message gets the same reply at once."""

import argparse
import asyncio
import json
import os
import signal
from typing import Any

import grpc

from siftfunnel.shared.rpc import split_inference_pb2 as pb


async def _answer(unused_requests: object, context: Any) -> None:
    reply = pb.Reply(sequence=1, prediction=pb.Prediction(class_index=[1], score=[1.0])).SerializeToString()
    while await context.read() is not grpc.aio.EOF:
        await context.write(reply)


async def _serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    methods = {"Stream": grpc.stream_stream_rpc_method_handler(_answer)}
    service = grpc.method_handlers_generic_handler("siftfunnel.v1.SplitInference", methods)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"grpc": f"127.0.0.1:{port}", "pid": os.getpid()}), flush=True)
    await stop.wait()
    await server.stop(None)


def main() -> None:
    """Serve on one core until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, required=True)
    os.sched_setaffinity(0, {parser.parse_args().core})
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
