"""What runs on the nodes of a Ray cluster: one copy of a cloud half.

This module travels to the nodes by value. They need `ray[serve]`, numpy and onnxruntime, and nothing of ours;
the model's bytes come as an argument, so no file system is shared.
"""

import asyncio
import os
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from ray import serve

MERGED_BATCHES = 4
"""Batches that may wait at one copy; those that do are run as one."""


class CloudHalf:
    """A model in ONNX Runtime, one run at a time.

    Args:
        model: the bytes of `cloud.onnx`.
        threads: for one run; the cores that Ray sets aside for this copy.
    """

    def __init__(self, model: bytes, threads: int) -> None:
        # official builds report to their maker unless this is set before they are imported
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    async def __call__(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K]."""
        return cast("NDArray[np.float32]", await self._run_merged(features_NCHW))

    @serve.batch(max_batch_size=MERGED_BATCHES, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def _run_merged(self, batches: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Whatever waits, also from several servers, in one run; off the loop that answers Serve."""
        logits_NK = await asyncio.to_thread(self._run, np.concatenate(batches))
        return np.split(logits_NK, np.cumsum([len(batch) for batch in batches])[:-1])

    def _run(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", self._session.run(["logits"], {"feature": features_NCHW})[0])
