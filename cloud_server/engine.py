"""The cloud half behind one small interface; `ENGINES` lists what can run it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.pieces import Outputs, Pieces
from siftfunnel.shared.batches import PerFrame
from siftfunnel.shared.extras import how_to_install
from siftfunnel.shared.graphs import GraphError, check_cloud_ends, open_session
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.settings import check, setting
from siftfunnel.shared.tensors import OutputSpec
from siftfunnel.shared.tls import TlsFiles

_ASK_AGAIN_S = 0.25
_MOST = 1.001
"""A probability, with what rounding may add."""

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class EngineError(ValueError):
    """A cloud half that cannot be opened or does not fit its manifest; the text names the file."""


class EngineUnavailableError(RuntimeError):
    """Whoever runs the model cannot be reached now; the frames are as good as before.

    Attributes:
        retry_after_ms: when trying again makes sense.
    """

    def __init__(self, message: str, retry_after_ms: int = 1000) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Engine(Protocol):
    """Runs the cloud half. Called from worker threads, several at a time."""

    @property
    def batches_in_flight(self) -> int | None:
        """Calls of `run` at once that keep it busy; None where that depends on this machine's cores."""

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        """What the cloud half gives for N features: the manifest's outputs, in its order.

        Raises:
            EngineUnavailableError: not now; the frames are handed back to their clients, to be sent again.
            Exception: anything else means that this batch failed.
        """


def _replicas(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition(":")
    try:
        return int(fewest), int(most or fewest)
    except ValueError:
        raise ValueError(f"{text!r} is neither N nor MIN:MAX, as in 2:8") from None


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is told when it opens.

    Raises:
        ValueError: threads below 1, no patience, replicas that are no range, credentials in an address.
    """

    threads: int = setting(1, "threads for one run of the model", least=1)
    device: str | None = setting(
        None,
        "where --engine torch computes (default: CUDA where there is one)",
        metavar="cpu|cuda|cuda:N",
    )
    ray_address: str | None = setting(
        None,
        "the Ray cluster for --engine ray-serve; this machine must be one of its nodes "
        "(default: a cluster on this machine alone)",
        metavar="HOST:PORT",
    )
    replicas: tuple[int, int] = setting(
        (1, 1),
        "fewest and most copies of each model there; between the two numbers Serve follows the load "
        "(default: 1)",
        metavar="N|MIN:MAX",
        read=_replicas,
    )
    start_s: float = setting(
        120.0,
        "patience at the start until a model server has loaded the model or a Ray cluster runs its copies",
        flag="--engine-start-seconds",
        above=0,
    )
    remote: str | None = setting(
        None,
        "the model server that holds the cloud half, for --engine open-inference",
        metavar="HOST:PORT",
    )
    remote_model: str = setting("{name}", "the model's name there; {name} stands for the bundle's")
    remote_tls: bool = setting(False, "TLS to it, trusting the authorities that ship with grpc")
    remote_tls_ca: Path | None = setting(None, "TLS to it, trusting only the authorities in this PEM file")
    remote_tls_cert: Path | None = setting(None, "own certificate, PEM, for mutual TLS with it")
    remote_tls_key: Path | None = setting(None, "its private key, PEM")
    remote_token_file: Path | None = setting(None, "show it the token in this file")
    remote_timeout_s: float = setting(
        10.0, "patience with one batch on a model server or a Ray cluster", above=0
    )

    def __post_init__(self) -> None:
        check(self)
        for flag, address in (("--remote", self.remote), ("--ray-address", self.ray_address)):
            if "@" in (address or ""):
                # not repeated: it would stand in logs and in errors that clients are told
                raise ValueError(f"{flag} takes an address without a user or a password")
        _ = self.remote_files  # files that cannot be used are told before anything starts
        fewest, most = self.replicas
        if not 1 <= fewest <= most:
            raise ValueError(f"replicas need 1 <= fewest <= most, not {fewest} and {most}")

    @property
    def remote_files(self) -> TlsFiles | bool:
        """TLS to the model server: certificate files, True for the authorities that ship with grpc, or False.

        Raises:
            TlsError: a file cannot be used.
        """
        if self.remote_tls_ca is None and self.remote_tls_cert is None and self.remote_tls_key is None:
            return self.remote_tls
        return TlsFiles(self.remote_tls_ca, self.remote_tls_cert, self.remote_tls_key)

    def for_bundle(self, name: str) -> "EngineOptions":
        """The same with the bundle's name filled in."""
        return replace(self, remote_model=self.remote_model.replace("{name}", name))


class OnnxRuntimeEngine:
    """`cloud.onnx` on the CPU with ONNX Runtime.

    Raises:
        EngineError: the file is not a model, or its inputs or outputs are not those of the manifest.
    """

    batches_in_flight = None

    def __init__(self, model_path: Path, manifest: Manifest, options: EngineOptions) -> None:
        place = str(model_path)
        try:
            self._session = open_session(model_path.read_bytes(), place, options.threads)
            check_cloud_ends(self._session, manifest, place)
        except GraphError as error:
            raise EngineError(str(error)) from error
        self._inputs, self._outputs = ends_of(manifest)
        self._pieces = Pieces(manifest)

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        """See `Engine`; the lock of the interpreter is free meanwhile."""
        return self._pieces.run(features_NCHW, self._compute)

    def _compute(self, tensors: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.generic]]:
        given: list[NDArray[np.generic]] = self._session.run(
            self._outputs, dict(zip(self._inputs, tensors, strict=True))
        )
        return given


def ends_of(manifest: Manifest) -> tuple[list[str], list[str]]:
    """Names of a cloud half's inputs and outputs, in the manifest's order."""
    return [tensor.name for tensor in manifest.sent], [output.name for output in manifest.given]


EngineFactory = Callable[[Path, Manifest, EngineOptions], Engine]


def _open_inference(model_path: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    from siftfunnel.cloud_server.open_inference import OpenInferenceEngine

    return OpenInferenceEngine(model_path, manifest, options)


def _torch(model_path: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    with _needs("torch"):
        from siftfunnel.cloud_server.torch_engine import TorchEngine
    return TorchEngine(model_path, manifest, options)


def _ray_serve(model_path: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    from siftfunnel.cloud_server.ray_serve import RayServeEngine

    with _needs("ray"):
        return RayServeEngine(model_path, manifest, options)


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EngineError(
            f"this engine needs {error.name}, which is not installed: {how_to_install(extra)}"
        ) from error


ENGINES: Mapping[str, EngineFactory] = {
    "onnxruntime": OnnxRuntimeEngine,
    "torch": _torch,
    "open-inference": _open_inference,
    "ray-serve": _ray_serve,
}
LOCAL_ENGINES = frozenset({"onnxruntime", "torch"})
"""Those whose batches are ours; a model server or a cluster may put others together."""


def open_engine(name: str, model_path: Path, manifest: Manifest, options: EngineOptions) -> Engine:
    """Open the cloud half of a manifest with the engine of that name.

    Raises:
        EngineError: unknown name, or the engine refuses the model.
    """
    if name not in ENGINES:
        raise EngineError(f"unknown engine {name!r}; known: {', '.join(ENGINES)}")
    return ENGINES[name](model_path, manifest, options)


def when_ready(do: Callable[[], Result], patience_s: float) -> Result:
    """Do it as soon as whoever runs the model can: who starts at the same time may not have loaded it yet.

    Raises:
        EngineError: not within the patience; says what the last answer was.
    """
    deadline_s = time.monotonic() + patience_s
    told = False
    while True:
        try:
            return do()
        except EngineUnavailableError as error:
            if time.monotonic() + _ASK_AGAIN_S > deadline_s:
                raise EngineError(f"{error} (after {patience_s:g} s, --engine-start-seconds)") from error
            if not told:
                told = True
                _log.warning("waiting for at most %g s: %s", patience_s, error)
        time.sleep(_ASK_AGAIN_S)


_TRIED_SIZES, _COMPARED = (2, 3, 5, 8), 8


def warm_up(
    engine: Engine,
    shape: tuple[int, ...],
    given: Sequence[OutputSpec],
    max_batch_size: int,
    patience_s: float = 0.0,
) -> None:
    """Run one frame and a full batch, so that no stream pays for the first run, and check what comes out.

    Args:
        engine: the one to run.
        shape: of a feature.
        given: `Manifest.given`.
        max_batch_size: frames of a full batch.
        patience_s: with an engine that is not ready yet.

    Raises:
        EngineError: the model fails, or an output is not what the manifest says.
    """
    for batch_size in sorted({1, max_batch_size}):
        features = np.zeros((batch_size, *shape), np.float32)
        try:
            outputs = when_ready(partial(engine.run, features), patience_s)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"the model does not take features of shape {shape}: {error}") from error
        for output, rows in zip(given, outputs, strict=True):
            _require_output(output, rows, batch_size)


def batch_invariant(engine: Engine, shape: tuple[int, ...], max_batch_size: int) -> bool:
    """Whether a frame's outputs are the same to the last bit alone and in batches of some sizes.

    Matrix products of one row and of many may round differently, so not every model is.

    Args:
        engine: the one to run.
        shape: of a feature.
        max_batch_size: frames of a full batch.
    """
    sizes = sorted({size for size in (*_TRIED_SIZES, max_batch_size) if 1 < size <= max_batch_size})
    features = np.random.default_rng(0).standard_normal((max([1, *sizes]), *shape), np.float32)
    try:
        alone = [
            _bits(engine.run(features[one : one + 1]), 0) for one in range(min(len(features), _COMPARED))
        ]
        for size in sizes:
            together = engine.run(features[:size])
            if any(_bits(together, number) != bits for number, bits in enumerate(alone[:size])):
                return False
    except Exception:  # a model is a program, and what it was given is no feature of any picture
        return False
    return True


def _bits(outputs: Sequence[PerFrame], number: int) -> list[bytes]:
    return [np.asarray(rows[number]).tobytes() for rows in outputs]


def _require_output(output: OutputSpec, rows: PerFrame, batch_size: int) -> None:
    frames = [rows[number] for number in range(len(rows))]
    wrong = [f for f in frames if not (output.fits(np.shape(f)) and np.asarray(f).dtype == output.dtype)]
    if len(frames) != batch_size or wrong:
        found = f"{np.asarray(wrong[0]).dtype} {np.shape(wrong[0])}" if wrong else f"{len(frames)} of them"
        raise EngineError(
            f"output {output.name} of {batch_size} frames is {found}, the manifest says {output.dtype} "
            f"{output.shape} for each frame; export the bundle again"
        )
    # of zeros a network may make NaN: what is asked here is only whether these may be probabilities
    if output.kind == "probabilities" and any(np.min(f) < 0 or np.max(f) > _MOST for f in frames):
        raise EngineError(
            f"output {output.name} is called probabilities and holds values outside [0, 1]: are they logits? "
            "Export the bundle again"
        )
