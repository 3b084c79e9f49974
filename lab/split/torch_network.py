"""A PyTorch module as a network: exported by PyTorch's own exporter, its weights' digest the network's.

network_of_module(module, (3, 224, 224), "mine")
network_of_factory("package.module:make", Path("weights.safetensors"), (3, 224, 224))
"""

import hashlib
import importlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.network import Network, network_of_graph

OPSET = 17
INPUT = "image"


def network_of_module(
    module: nn.Module, example_shape: tuple[int, int, int], name: str, *, outputs: tuple[str, ...] = ()
) -> Network:
    """A network from a module.

    Args:
        module: In evaluation mode; takes one batch of pictures.
        example_shape: Of one frame: channels, height, width.
        name: What to call it.
        outputs: Names of those that matter; none takes all.

    Raises:
        NetworkError: the module is in training mode, or cannot be exported or taken.
    """
    if module.training:
        raise NetworkError(f"{name} is in training mode: call .eval() before it is cut")
    stored, frames = io.BytesIO(), torch.zeros(2, *example_shape)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # it is the exporter that needs no further package; what it says of itself helps nobody here
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.cpu(),
                (frames,),
                stored,  # type: ignore[arg-type]  # its annotation forgets that it writes to streams
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                dynamic_axes={INPUT: {0: "N"}},
            )
    except Exception as error:  # whatever the module itself raises, and the exporter's many
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkError(
            f"PyTorch cannot export {name} with input {example_shape}: {reason}; "
            "export it to ONNX yourself and give the file"
        ) from error
    digest = digest_of_weights(module.state_dict())
    return network_of_graph(onnx.load_from_string(stored.getvalue()), name, digest, outputs=outputs)


def digest_of_weights(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: name, type, shape and values of each, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def network_of_factory(
    factory: str,
    weights: Path | None,
    example_shape: tuple[int, int, int],
    *,
    name: str | None = None,
    outputs: tuple[str, ...] = (),
) -> Network:
    """A network from a function that makes a module: ``package.module:function``, called without arguments.

    Args:
        factory: Where the function is; it runs, so it must be code that one trusts.
        weights: safetensors, or a file of PyTorch with tensors alone; None keeps what the function gives.
        example_shape: Of one frame: channels, height, width.
        name: What to call it; None takes the function's.
        outputs: Names of those that matter; none takes all.

    Raises:
        NetworkError: no such function, no module, or weights that are not its own.
    """
    place, _, function = factory.partition(":")
    if not place or not function:
        raise NetworkError(f"--torch takes MODULE:FUNCTION, not {factory!r}")
    try:
        module = getattr(importlib.import_module(place), function)()
    except ImportError as error:
        raise NetworkError(
            f"--torch {factory}: {error}; is it installed, or its folder on PYTHONPATH?"
        ) from error
    except Exception as error:  # whatever their code raises
        raise NetworkError(
            f"--torch {factory}: {type(error).__name__}: {error}; a function is wanted that is called "
            "without arguments and gives the module"
        ) from error
    if not isinstance(module, nn.Module):
        raise NetworkError(f"{factory} gives {type(module).__name__}, not a torch.nn.Module")
    if weights is not None:
        _load_weights(module, weights)
    return network_of_module(module.eval(), example_shape, name or function, outputs=outputs)


def _load_weights(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise NetworkError(f"{path} has other weights than the module: {error}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, from safetensors or from a file of PyTorch that holds nothing but tensors.

    Raises:
        NetworkError: neither, or a file that would run code.
        OSError: it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        # the restricted reader: tensors and plain containers, nothing that runs
        found: Any = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except OSError:
        raise
    except Exception as error:  # SafetensorError, and the many of PyTorch's reader
        # PyTorch's own text advises to let the file run its code
        is_safe = path.suffix == ".safetensors"
        reason = str(error) if is_safe else "it is no whole file of PyTorch, or has more than tensors in it"
        raise NetworkError(
            f"{path} holds no plain weights: {reason}; store the module's state_dict() as safetensors"
        ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NetworkError(f"{path} is no table of tensors: store the module's state_dict() as safetensors")
    return found
