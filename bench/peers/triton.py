"""NVIDIA Triton without a GPU: what ``nvidia-pytriton`` brings has the Python backend only.

So this is Triton's front and batcher around a Python callable in a process of its own, not Triton's ONNX
Runtime backend; the label says so.
"""

import shutil
from pathlib import Path

from siftfunnel.bench.peers.environment import Environment, same_onnxruntime, system_interpreter
from siftfunnel.bench.peers.peer import Peer, Place
from siftfunnel.bench.peers.wires import OpenInferenceWire
from siftfunnel.shared.bundle import Bundle

RUNTIME = Path(__file__).resolve().parent / "runtimes" / "triton_cloud_half.py"


def command(bundle: Bundle, place: Place) -> list[str]:
    """Copy the runtime; all it needs to know is on its command line."""
    manifest = bundle.manifest
    shutil.copy(RUNTIME, place.folder / RUNTIME.name)
    figures = (*manifest.feature.shape, len(manifest.classes), *place.ports)
    model = str(bundle.path("cloud.onnx").resolve())
    return [str(place.python), RUNTIME.name, model, bundle.name, *map(str, figures)]


TRITON = Peer(
    name="triton",
    label="Triton, Python backend (nvidia-pytriton 0.7, a callable around ONNX Runtime)",
    settings="dynamic batcher, batches of at most 16, no queue delay",
    wire=OpenInferenceWire(),
    environment=Environment("triton", ("nvidia-pytriton==0.7.0", same_onnxruntime()), system_interpreter),
    command=command,
)
