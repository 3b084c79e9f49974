"""Arguments that the lab's commands share, and the start of PyTorch."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from siftfunnel.shared.extras import how_to_install

if TYPE_CHECKING:
    import torch

CACHE_VARIABLE = "SIFTFUNNEL_CACHE"


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--cache``, ``--device`` and ``--threads``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data with train and test in it, folders or tars of class folders; drawn faces need none",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ[CACHE_VARIABLE]) if os.environ.get(CACHE_VARIABLE) else None,
        metavar="DIR",
        help=f"keep decoded pictures here (default: ${CACHE_VARIABLE}, or no cache)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")


def names(text: str) -> tuple[str, ...]:
    """An argument of names with commas between.

    Example:
        >>> names("residual, rmle")
        ('residual', 'rmle')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def require_lab_extra() -> None:
    """Say which extra is missing where there is no PyTorch.

    Raises:
        RuntimeError: PyTorch, ONNX or safetensors is not installed.
    """
    try:
        import onnx  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise RuntimeError(f"this command needs {error.name}: {how_to_install('lab')}") from error


def prepare_torch(device: str, threads: int | None) -> "torch.device":
    """Import PyTorch, set its threads and choose a device.

    Raises:
        ValueError: CUDA is asked for and not there, or a thread count below 1.
    """
    require_lab_extra()
    import torch

    if threads is not None:
        if threads < 1:
            raise ValueError(f"--threads must be 1 or more, got {threads}")
        torch.set_num_threads(threads)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: PyTorch sees no CUDA device here; use --device cpu")
    return torch.device(device)
