"""What an edge costs the device: parameters, file, memory, time.

Parameters are counted the true way and the way the paper's tables got them (torchsummary), under different
names. Times depend on the machine and say so in their result; all the other figures do not.
"""

import platform
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.turns import interleaved_times_ms

WARM_UP_RUNS = 10

Latency = dict[str, Any]


def count_as_torchsummary(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Parameters as the tool torchsummary prints them, which is what the paper's tables hold.

    The tool adds up ``weight`` and ``bias`` of a layer each time the layer is *called*, so a network that
    two branches share counts twice (CBAM's: the paper's funnel has 16,354 parameters and prints 16,402), and
    a layer that is never called does not count.

    Args:
        module: The edge; run in evaluation mode on two pictures of zeros, and left as it was.
        input_shape: Of one picture, C x H x W.
    """
    counted = 0

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal counted
        for name in ("weight", "bias"):
            value = getattr(layer, name, None)
            counted += value.numel() if isinstance(value, Tensor) else 0

    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    try:
        with _evaluating(module), torch.no_grad():
            module(_zeros(module, (2, *input_shape)))
    finally:
        for handle in handles:
            handle.remove()
    return counted


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each submodule gets its own mode back."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def _zeros(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return torch.zeros(shape, device=device)


class _LiveStorage(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every tensor that an operation makes, and the most bytes alive at once."""

    def __init__(self, counted_elsewhere: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = self.peak_bytes = 0
        self._holders: dict[int, int] = {}
        # a view of a parameter (a transposed weight) is no new memory
        self._elsewhere = {tensor.untyped_storage()._cdata for tensor in counted_elsewhere}

    def hold(self, tensor: Tensor) -> None:
        """Count a tensor's storage until the last tensor on it is gone."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._elsewhere:
            return
        if key not in self._holders:
            self.live_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        self._holders[key] = self._holders.get(key, 0) + 1
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.live_bytes -= size

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        came_in = {id(value) for value in tree_leaves((args, kwargs))}
        for value in tree_leaves(output):
            # an operation in place returns what came in, which is held already
            if isinstance(value, Tensor) and id(value) not in came_in:
                self.hold(value)
        return output


def peak_memory(module: nn.Module, input_shape: tuple[int, ...], batch: int = 1) -> dict[str, int]:
    """Bytes that one forward pass needs at its peak, in evaluation mode, without gradients.

    On CUDA it is the allocator's own peak above what lay there before. On a CPU, where PyTorch keeps no such
    mark, the bytes of all tensors alive are followed operation by operation: the same on every machine, but
    without what a kernel takes for itself while it runs. In-place operations and the runtime's buffer reuse
    make ONNX Runtime need less; it is a figure to compare edges with, not a device's resident memory.

    Args:
        module: The edge, on the device to measure.
        input_shape: Of one picture, C x H x W.
        batch: Pictures at once.

    Returns:
        ``parameter_bytes`` of parameters and buffers, each shared tensor once, and ``activation_bytes``, the
        most of live tensors at once, the input included.
    """
    tensors = [*module.parameters(), *module.buffers()]
    parameter_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    with _evaluating(module), torch.no_grad():
        x_NCHW = _zeros(module, (batch, *input_shape))
        if x_NCHW.is_cuda:
            activation_bytes = _cuda_peak(module, x_NCHW)
        else:
            live = _LiveStorage(tensors)
            live.hold(x_NCHW)
            with live:
                module(x_NCHW)
            activation_bytes = live.peak_bytes
    return {"parameter_bytes": parameter_bytes, "activation_bytes": activation_bytes}


def _cuda_peak(module: nn.Module, x_NCHW: Tensor) -> int:
    module(x_NCHW)
    torch.cuda.synchronize(x_NCHW.device)
    before = torch.cuda.memory_allocated(x_NCHW.device)
    torch.cuda.reset_peak_memory_stats(x_NCHW.device)
    module(x_NCHW)
    torch.cuda.synchronize(x_NCHW.device)
    peak = torch.cuda.max_memory_allocated(x_NCHW.device) - before
    return peak + x_NCHW.numel() * x_NCHW.element_size()


def time_runs(run: Callable[[], object], *, device: str, runs: int, warm_up: int = WARM_UP_RUNS) -> Latency:
    """Wall time of ``run()``, which must wait until its work is done.

    Returns:
        ``median_ms``, and ``p5_ms`` and ``p95_ms``, than which 5 % and 95 % of the runs are faster; ``runs``
        that were timed, and the ``device``.

    Raises:
        ValueError: no runs.
    """
    if runs < 1 or warm_up < 0:
        raise ValueError(f"need one timed run or more and no negative warm-up, got {runs} and {warm_up}")
    times_ms = interleaved_times_ms({"": run}, runs, warm_up)[""]
    p5, median, p95 = (float(value) for value in np.percentile(times_ms, (5, 50, 95)))
    return {"median_ms": median, "p5_ms": p5, "p95_ms": p95, "runs": runs, "device": device}


def cpu_latency(onnx_edge: bytes, input_shape: tuple[int, ...], runs: int) -> Latency:
    """One picture at a time through ONNX Runtime on one thread, as the device runs it."""
    session = Runner(onnx_edge)
    picture = np.zeros((1, *input_shape), dtype=np.float32)
    name = f"{platform.machine()} CPU, ONNX Runtime, one thread"
    return time_runs(lambda: session.raw(picture), device=name, runs=runs)


def gpu_latency(module: nn.Module, input_shape: tuple[int, ...], runs: int) -> Latency | None:
    """One picture at a time through PyTorch on the first GPU; None where there is none.

    The module is moved there and back.
    """
    if not torch.cuda.is_available():
        return None
    home = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    device = torch.device("cuda")
    try:
        with _evaluating(module.to(device)), torch.inference_mode():
            picture = torch.zeros((1, *input_shape), device=device)

            def run() -> None:
                module(picture)
                torch.cuda.synchronize(device)

            return time_runs(run, device=torch.cuda.get_device_name(device), runs=runs)
    finally:
        module.to(home)


def measure_edge(
    edge: nn.Module, onnx_edge: bytes, input_shape: tuple[int, int, int], runs: int
) -> dict[str, Any]:
    """What an edge costs, as results hold it.

    Args:
        edge: The PyTorch half, not folded: folding merges parameters.
        onnx_edge: The same half as exported, of which a device stores every byte.
        input_shape: Of one picture, C x H x W.
        runs: Timed runs per device.
    """
    return {
        "edge_file_bytes": len(onnx_edge),
        "edge_memory_bytes": peak_memory(edge, input_shape),
        "edge_latency_ms_cpu": cpu_latency(onnx_edge, input_shape, runs),
        "edge_latency_ms_gpu": gpu_latency(edge, input_shape, runs),
    }
