"""What runs on the nodes of a Ray cluster: one copy of a cloud half.

This module travels to the nodes by value. They need `ray[serve]`, numpy and onnxruntime, and nothing of ours;
the model's bytes come as an argument, so no file system is shared.
"""

import asyncio
import os
from collections.abc import Sequence
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
        inputs: names of its inputs.
        outputs: names of its outputs.
        joins: whether batches may be run as one.
    """

    def __init__(
        self, model: bytes, threads: int, inputs: Sequence[str], outputs: Sequence[str], joins: bool
    ) -> None:
        # official builds report to their maker unless this is set before they are imported
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.log_severity_level = 3
        self._inputs, self._outputs, self._joins = inputs, outputs, joins
        self._session: Any = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    async def __call__(self, tensors: list[NDArray[np.float32]]) -> list[NDArray[np.generic]]:
        """Arrays of the outputs for arrays of the inputs, frames first."""
        return cast("list[NDArray[np.generic]]", await self._run_merged(tensors))

    @serve.batch(max_batch_size=MERGED_BATCHES, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def _run_merged(self, batches: list[list[NDArray[np.float32]]]) -> list[list[NDArray[np.generic]]]:
        """Whatever waits, also from several servers, in one run; off the loop that answers Serve."""
        if not self._joins:
            return [await asyncio.to_thread(self._run, tensors) for tensors in batches]
        joined = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        given = await asyncio.to_thread(self._run, joined)
        ends = np.cumsum([len(tensors[0]) for tensors in batches])[:-1]
        return [list(parts) for parts in zip(*(np.split(output, ends) for output in given), strict=True)]

    def _run(self, tensors: Sequence[NDArray[np.float32]]) -> list[NDArray[np.generic]]:
        taken = dict(zip(self._inputs, tensors, strict=True))
        return cast("list[NDArray[np.generic]]", self._session.run(list(self._outputs), taken))
