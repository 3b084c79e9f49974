"""A bundle's cloud half as a deployment of Ray Serve: float32 bytes in, float32 bytes out, over HTTP.

usage: ray_cloud_half.py MODEL CHANNELS HEIGHT WIDTH HTTP_PORT
"""

import signal
import sys
import tempfile
import threading

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

MAX_BATCH_SIZE = 16
OBJECT_STORE_BYTES = 100_000_000
BINARY = "application/octet-stream"


@serve.deployment(num_replicas=1, max_ongoing_requests=4 * MAX_BATCH_SIZE)
class CloudHalf:
    """``feature`` to ``logits`` with ONNX Runtime, one thread."""

    def __init__(self, model: str, shape: tuple[int, ...]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._shape = shape

    # requests wait for nobody; what queues while the model is busy is taken together
    @serve.batch(max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=0.0)
    async def run(self, bodies: list[bytes]) -> list[bytes]:
        """Run a batch."""
        features = np.frombuffer(b"".join(bodies), dtype="<f4").reshape(-1, *self._shape)
        return [row.tobytes() for row in self._session.run(["logits"], {"feature": features})[0]]

    async def __call__(self, request: Request) -> Response:
        """One request."""
        return Response(await self.run(await request.body()), media_type=BINARY)


def main(model: str, *figures: str) -> None:
    """Serve until stopped."""
    *shape, port = map(int, figures)
    ray.init(
        "local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=tempfile.gettempdir(),
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(CloudHalf.bind(model, tuple(shape)), route_prefix="/predict")
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        threading.Event().wait()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
