"""`simple` on Triton, by nvidia-pytriton: triton_simple.py GRPC_PORT HTTP_PORT METRICS_PORT.

It needs the system's own Python with its shared library (Debian's python3).
"""

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

grpc_port, http_port, metrics_port = map(int, sys.argv[1:4])


@batch
def simple(INPUT0, INPUT1):
    """Sum and difference."""
    return {"OUTPUT0": INPUT0 + INPUT1, "OUTPUT1": INPUT0 - INPUT1}


config = TritonConfig(
    grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port, allow_metrics=False
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="simple",
        infer_func=simple,
        inputs=[Tensor(name=name, dtype=np.int32, shape=(16,)) for name in ("INPUT0", "INPUT1")],
        outputs=[Tensor(name=name, dtype=np.int32, shape=(16,)) for name in ("OUTPUT0", "OUTPUT1")],
        config=ModelConfig(max_batch_size=8),
        strict=True,
    )
    triton.serve()
