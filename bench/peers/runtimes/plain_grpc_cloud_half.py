"""The floor: the least a gRPC server around ONNX Runtime can do. float32 bytes in, float32 bytes out.

One event loop which runs the model itself: with one core for everything a second thread would only take turns
with it. No batches, no checks, no metrics; not a server anybody should run.

usage: plain_grpc_cloud_half.py MODEL CHANNELS HEIGHT WIDTH GRPC_PORT
"""

import asyncio
import sys

import grpc
import numpy as np
import onnxruntime


async def main(model: str, *figures: str) -> None:
    """Serve until stopped."""
    *shape, port = map(int, figures)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    async def infer(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        feature = np.frombuffer(message, dtype="<f4").reshape(1, *shape)
        return session.run(["logits"], {"feature": feature})[0].tobytes()

    server = grpc.aio.server()
    handlers = {"Infer": grpc.unary_unary_rpc_method_handler(infer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("plain.CloudHalf", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
