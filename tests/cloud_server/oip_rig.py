"""Servers for the clients of others, which block: they run in threads beside the server's loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from siftfunnel.shared.bundle import Bundle
from tests.cloud_server.conftest import Frames, model_file
from tests.tinybundle import run_model


def features_of(frames: Frames, rows: int) -> NDArray[np.float32]:
    return np.stack([frames.features(seed) for seed in range(rows)])


def right_logits(bundle: Bundle, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return run_model(model_file(bundle).read_bytes(), features)


def an_input(kind: Any, name: str, values: NDArray[Any], datatype: str, **how: Any) -> Any:
    tensor = kind.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values, **how)
    return tensor


def refusal(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[str, str]:
    """Status and text of a request that is refused."""
    try:
        function(*arguments, **named)
    except triton.InferenceServerException as error:
        return str(error.status()), str(error.message())
    raise AssertionError("it was answered")


async def beside(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)
