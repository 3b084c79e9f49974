"""A bundle's cloud half as an API of LitServe: float32 bytes in, float32 bytes out.

usage: litserve_cloud_half.py MODEL CHANNELS HEIGHT WIDTH HTTP_PORT
"""

import sys
from typing import Annotated

import litserve
import numpy as np
import onnxruntime
from fastapi import Body, Response

MAX_BATCH_SIZE = 16
# zero makes the worker spin, which on its only core is paid for by every other thread
BATCH_TIMEOUT_S = 0.001
BINARY = "application/octet-stream"


class CloudHalf(litserve.LitAPI):
    """``feature`` to ``logits`` with ONNX Runtime, one thread."""

    def __init__(self, model: str, shape: tuple[int, ...]) -> None:
        super().__init__(api_path="/predict", max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S)
        self._model, self._shape = model, shape

    def setup(self, device: str) -> None:
        """Open the model in the worker."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])

    def decode_request(self, request: Annotated[bytes, Body(media_type=BINARY)]) -> np.ndarray:
        """The body is the tensor."""
        return np.frombuffer(request, dtype="<f4").reshape(self._shape)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run a batch."""
        return self._session.run(["logits"], {"feature": x})[0]

    def encode_response(self, output: np.ndarray) -> Response:
        """The body is the tensor."""
        return Response(content=output.tobytes(), media_type=BINARY)


def main(model: str, *figures: str) -> None:
    """Serve until stopped."""
    *shape, port = map(int, figures)
    server = litserve.LitServer(
        CloudHalf(model, tuple(shape)),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1", port=port, num_api_servers=1, log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
