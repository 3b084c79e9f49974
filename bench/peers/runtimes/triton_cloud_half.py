"""A bundle's cloud half as a callable of Triton's Python backend.

usage: triton_cloud_half.py MODEL NAME CHANNELS HEIGHT WIDTH CLASSES GRPC_PORT HTTP_PORT METRICS_PORT
"""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MAX_BATCH_SIZE = 16


def main(model: str, name: str, *figures: str) -> None:
    """Serve until stopped."""
    channels, height, width, classes, grpc_port, http_port, metrics_port = map(int, figures)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @batch
    def run(feature: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> dict[str, object]:
        return {"logits": session.run(["logits"], {"feature": feature})[0]}

    config = TritonConfig(
        grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port, allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=name,
            infer_func=run,
            inputs=[Tensor(name="feature", dtype=np.float32, shape=(channels, height, width))],
            outputs=[Tensor(name="logits", dtype=np.float32, shape=(classes,))],
            # requests wait for nobody; what queues while the callable is busy is taken together
            config=ModelConfig(
                max_batch_size=MAX_BATCH_SIZE, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
