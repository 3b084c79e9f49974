"""Every peer as data: what it is called, what it needs, how it is started and how clients speak to it."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from siftfunnel.bench.peers.environment import Environment, same_onnxruntime, system_interpreter
from siftfunnel.bench.peers.peer import Peer, Place
from siftfunnel.bench.peers.wires import GrpcBytes, HttpBytes, OpenInferenceWire, SplitInferenceWire
from siftfunnel.shared.bundle import CLOUD, Bundle
from siftfunnel.shared.ports import LOOPBACK

EXACT_CODEC = "fp32"
_RUNTIMES = Path(__file__).resolve().parent / "runtimes"


def _ours(bundle: Bundle, place: Place) -> list[str]:
    """`siftfunnel cloud` with its defaults."""
    listen = f"{LOOPBACK}:{place.ports[0]}"
    return [
        *(str(place.python), "-P", "-m", "siftfunnel", "cloud", "--bundle", str(bundle.directory.resolve())),
        *("--listen", listen, "--log-level", "warning"),
    ]


def _runtime(file: str) -> Callable[[Bundle, Place], list[str]]:
    """A file in ``runtimes`` that takes MODEL CHANNELS HEIGHT WIDTH PORT."""

    def command(bundle: Bundle, place: Place) -> list[str]:
        figures = (*bundle.manifest.feature.shape, place.ports[0])
        return [str(place.python), str(_RUNTIMES / file), _model(bundle), *map(str, figures)]

    return command


def _triton(bundle: Bundle, place: Place) -> list[str]:
    """Its runtime, copied to where Triton works; all it needs to know is on its command line."""
    runtime = Path(shutil.copy(_RUNTIMES / "triton_cloud_half.py", place.folder))
    manifest = bundle.manifest
    figures = (*manifest.feature.shape, len(manifest.classes), *place.ports)
    return [str(place.python), runtime.name, _model(bundle), bundle.name, *map(str, figures)]


def _mlserver(bundle: Bundle, place: Place) -> list[str]:
    """Its two settings files and the runtime; everything in one process, as ours is."""
    manifest = bundle.manifest
    runtime = Path(shutil.copy(_RUNTIMES / "mlserver_cloud_half.py", place.folder))
    settings = {
        "host": LOOPBACK,
        "grpc_port": place.ports[0],
        "http_port": place.ports[1],
        "metrics_port": place.ports[2],
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": bundle.name,
        "implementation": f"{runtime.stem}.CloudHalf",
        "parameters": {"uri": _model(bundle)},
        "inputs": [{"name": "feature", "datatype": "FP32", "shape": [-1, *manifest.feature.shape]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, len(manifest.classes)]}],
    }
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(place.python.parent / "mlserver"), "start", "."]


def _model(bundle: Bundle) -> str:
    return str(bundle.path(CLOUD).resolve())


OURS = Peer(
    name="siftfunnel",
    label="siftfunnel cloud",
    settings="its defaults: batches of at most 16, no batch wait, one worker",
    wire=SplitInferenceWire(EXACT_CODEC),
    environment=None,
    command=_ours,
)
PLAIN_GRPC = Peer(
    name="plain-grpc",
    label="plain gRPC, the floor (grpc.aio, ONNX Runtime)",
    settings="the model runs in the handler, one frame at a time",
    wire=GrpcBytes("/plain.CloudHalf/Infer"),
    environment=None,
    command=_runtime("plain_grpc_cloud_half.py"),
)
# what nvidia-pytriton brings without a GPU has the Python backend only: Triton's front and batcher around a
# Python callable in a process of its own, not Triton's ONNX Runtime backend; the label says so
TRITON = Peer(
    name="triton",
    label="Triton, Python backend (nvidia-pytriton 0.7, a callable around ONNX Runtime)",
    settings="dynamic batcher, batches of at most 16, no queue delay",
    wire=OpenInferenceWire(),
    environment=Environment("triton", ("nvidia-pytriton==0.7.0", same_onnxruntime()), system_interpreter),
    command=_triton,
)
RAY_SERVE = Peer(
    name="ray-serve",
    label="Ray Serve 2.60 (ONNX Runtime)",
    settings="RAY_SERVE_THROUGHPUT_OPTIMIZED, HTTP proxy, batches of at most 16, no batch wait, one replica, "
    "no dashboard, the whole cluster on the core",
    wire=HttpBytes("/predict"),
    environment=Environment("ray-serve", ("ray[serve]==2.60.0", same_onnxruntime())),
    command=_runtime("ray_cloud_half.py"),
    variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
)
LITSERVE = Peer(
    name="litserve",
    label="LitServe 0.2 (ONNX Runtime)",
    settings="batches of at most 16, 1 ms batch timeout, fast queue (ZeroMQ), one worker, one API server",
    wire=HttpBytes("/predict"),
    environment=Environment("litserve", ("litserve==0.2.19", same_onnxruntime())),
    command=_runtime("litserve_cloud_half.py"),
)
MLSERVER = Peer(
    name="mlserver",
    label="MLServer 1.7 (custom runtime, ONNX Runtime)",
    settings="parallel_workers 0; no adaptive batching, which makes requests wait for a timer",
    wire=OpenInferenceWire(),
    environment=Environment("mlserver", ("mlserver==1.7.1", same_onnxruntime())),
    command=_mlserver,
)

PEERS: Mapping[str, Peer] = MappingProxyType(
    {peer.name: peer for peer in (OURS, PLAIN_GRPC, TRITON, RAY_SERVE, LITSERVE, MLSERVER)}
)
"""Every peer by name, ours and the floor among them."""

OPEN_INFERENCE = tuple(name for name, peer in PEERS.items() if isinstance(peer.wire, OpenInferenceWire))
"""Names of those that our front can use as a remote engine."""
