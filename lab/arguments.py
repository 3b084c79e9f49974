"""Arguments that the lab's commands share, and the start of PyTorch."""

import argparse
import inspect
import os
import sys
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_type_hints

from siftfunnel.shared.extras import how_to_install

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
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


def add_settings(parser: argparse.ArgumentParser, settings: type, leave: Collection[str] = ()) -> None:
    """Add a flag for each field of a dataclass of numbers and switches; what is not given stays its default.

    Help is what the class's docstring says of the field under ``Attributes:``.

    Args:
        parser: Gets ``--field-name`` for each.
        settings: The dataclass; every field has a default.
        leave: Fields that the command line does not set.
    """
    kinds, told = get_type_hints(settings), _attributes(settings)
    for field in fields(settings):
        if field.name in leave:
            continue
        flag, text = f"--{field.name.replace('_', '-')}", told[field.name].replace("%", "%%")
        if kinds[field.name] is bool:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            parser.add_argument(
                flag,
                type=kinds[field.name],
                metavar="N" if kinds[field.name] is int else "X",
                help=f"{text} (default: {field.default:g})",
            )


def _attributes(settings: type) -> dict[str, str]:
    """What a class's docstring says of its attributes: lower case first, without the stop."""
    lines = inspect.cleandoc(settings.__doc__ or "").partition("Attributes:\n")[2].splitlines()
    pairs = [line.strip().partition(": ") for line in lines if line.startswith("    ")]
    return {name: text[:1].lower() + text[1:].removesuffix(".") for name, _, text in pairs}


def settings_of(args: argparse.Namespace, settings: type[T]) -> T:
    """The dataclass that `add_settings` has asked for."""
    given = {field.name: getattr(args, field.name, None) for field in fields(settings)}  # type: ignore[arg-type]  # a dataclass
    return settings(**{name: value for name, value in given.items() if value is not None})


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
