"""`cloud.onnx` with PyTorch, on CUDA where there is one, else on the CPU.

The only module of this room that imports PyTorch, and only when `--engine torch` asks for it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from siftfunnel.cloud_server.engine import EngineError, EngineOptions, ends_of
from siftfunnel.cloud_server.pieces import Outputs, Pieces
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError

_ON_CUDA = 2
"""Batches under way on a GPU: one is copied there while the other is computed."""


class TorchEngine:
    """The graph as a PyTorch module, in inference mode and full float32.

    The number of threads and the switch for TensorFloat-32 belong to the whole process; the engine opened
    last sets them.

    Args:
        model_path: the model.
        manifest: names its inputs and outputs.
        options: threads, device.

    Raises:
        EngineError: the file is not a model, has other ends than agreed on or an operator that is not known,
            or the device is not there.
    """

    def __init__(self, model_path: Path, manifest: Manifest, options: EngineOptions) -> None:
        self._device = choose_device(options.device)
        self.batches_in_flight = _ON_CUDA if self._device.type == "cuda" else None
        torch.set_num_threads(options.threads)
        # with TF32 a GPU's convolutions keep 10 bits of the mantissa: other answers than ONNX Runtime's
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        try:
            module = OnnxModule(model_path.read_bytes())
        except UnsupportedOperatorError as error:
            raise EngineError(f"{model_path}: the engine torch cannot run it: {error}") from error
        except ValueError as error:
            raise EngineError(f"{model_path}: {error}") from error
        _require_ends(model_path, manifest, module.inputs, module.outputs)
        sent, given = manifest.sent, manifest.given
        self._inputs = [[tensor.name for tensor in sent].index(name) for name in module.inputs]
        self._outputs = [module.outputs.index(output.name) for output in given]
        self._pieces = Pieces(manifest)
        self._module: Any = _channels_last(module).to(self._device).eval()

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        """See `Engine`; the lock of the interpreter is free while an operation runs."""
        return self._pieces.run(features_NCHW, self._compute)

    def _compute(self, tensors: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.generic]]:
        with torch.inference_mode():
            given = self._module(*(self._there(tensors[place]) for place in self._inputs))
            given = given if isinstance(given, tuple) else (given,)
            # an output that is an input handed on would lie in rows that the next batch overwrites
            layout = torch.contiguous_format
            return [given[place].cpu().clone(memory_format=layout).numpy() for place in self._outputs]

    def _there(self, array: NDArray[np.float32]) -> torch.Tensor:
        layout = torch.channels_last if array.ndim == 4 else torch.contiguous_format
        tensor = torch.from_numpy(np.require(array, requirements="W"))
        return tensor.to(self._device, memory_format=layout)


def _require_ends(where: Path, manifest: Manifest, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse a model whose inputs and outputs are not the manifest's, in whatever order.

    Raises:
        EngineError: it names what is needed and what is there.
    """
    for what, needed, found in zip(("inputs", "outputs"), ends_of(manifest), (inputs, outputs), strict=True):
        if sorted(needed) != sorted(found):
            raise EngineError(
                f"{where}: needs the {what} {', '.join(needed)}, has {', '.join(found) or 'none'}; "
                "export the bundle again"
            )


def choose_device(name: str | None) -> torch.device:
    """The device of that name; with None CUDA where there is one, else the CPU.

    Raises:
        EngineError: no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise EngineError(f"--device {name}: cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"--device {name}: cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "PyTorch finds no GPU" if torch.version.cuda else "this PyTorch was built without CUDA"
        raise EngineError(f"--device {name}: {why} on this machine; --device cpu runs without")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"--device {name}: there are {torch.cuda.device_count()} GPUs here, from cuda:0 on")
    return device


def _channels_last(module: nn.Module) -> nn.Module:
    """Filters laid out as the convolutions of CPU and GPU like them best; other constants as they are."""
    for name, buffer in module.named_buffers():
        if buffer.dim() == 4:
            setattr(module, name, buffer.contiguous(memory_format=torch.channels_last))
    return module
