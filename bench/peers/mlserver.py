"""MLServer (Seldon): no ONNX runtime of its own, so a custom one in a few lines."""

import json
import shutil
from pathlib import Path

from siftfunnel.bench.peers.environment import Environment, same_onnxruntime
from siftfunnel.bench.peers.peer import Peer, Place
from siftfunnel.bench.peers.wires import OpenInferenceWire
from siftfunnel.shared.bundle import Bundle

RUNTIME = Path(__file__).resolve().parent / "runtimes" / "mlserver_cloud_half.py"


def command(bundle: Bundle, place: Place) -> list[str]:
    """Write its two settings files and the runtime; everything in one process, as ours is."""
    manifest = bundle.manifest
    shutil.copy(RUNTIME, place.folder / RUNTIME.name)
    settings = {
        "host": "127.0.0.1",
        "grpc_port": place.ports[0],
        "http_port": place.ports[1],
        "metrics_port": place.ports[2],
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": bundle.name,
        "implementation": f"{RUNTIME.stem}.CloudHalf",
        "parameters": {"uri": str(bundle.path("cloud.onnx").resolve())},
        "inputs": [{"name": "feature", "datatype": "FP32", "shape": [-1, *manifest.feature.shape]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, len(manifest.classes)]}],
    }
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(place.python.parent / "mlserver"), "start", "."]


MLSERVER = Peer(
    name="mlserver",
    label="MLServer 1.7 (custom runtime, ONNX Runtime)",
    settings="parallel_workers 0; no adaptive batching, which makes requests wait for a timer",
    wire=OpenInferenceWire(),
    environment=Environment("mlserver", ("mlserver==1.7.1", same_onnxruntime())),
    command=command,
)
