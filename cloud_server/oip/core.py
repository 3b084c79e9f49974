"""The protocol's methods without a transport: what is asked by name, and answered as JSON would have it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from siftfunnel.cloud_server.callers import Call, Caller, Refusal
from siftfunnel.cloud_server.catalogue import Catalogue, ServedBundle
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.oip.models import VERSION, Answered, BundleModel, Model, Simple
from siftfunnel.cloud_server.oip.requests import InferRequest, InferResponse, RequestError, Status, invalid
from siftfunnel.cloud_server.repository import Repository, UnknownModelError
from siftfunnel.cloud_server.service import SplitInferenceService
from siftfunnel.shared.access import Right
from siftfunnel.shared.bundle import BundleError

NAME = "siftfunnel"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
LOADING = "model_repository"

_SHOWN = 64


@dataclass
class _Counts:
    """Of one model: requests by how they ended, and nanoseconds."""

    success: int = 0
    success_ns: int = 0
    fail: int = 0
    fail_ns: int = 0
    rows: int = 0
    last_ms: int = 0
    spent_us: dict[str, int] = field(default_factory=lambda: {"queue": 0, "input": 0, "infer": 0})


class OpenInference:
    """One server's models.

    Args:
        catalogue: what is served; asked each time, since it changes.
        service: takes frames.
        repository: loads and unloads.
        config: the server's.
        version: of this distribution.
        is_ready: whether new requests are taken and answered.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        service: SplitInferenceService,
        repository: Repository,
        config: CloudConfig,
        version: str,
        is_ready: Callable[[], bool],
    ) -> None:
        self.service = service
        self.is_ready = is_ready
        self._catalogue, self._repository, self._config = catalogue, repository, config
        self._version = version
        self._simple: list[Model] = [Simple()] if config.simple else []
        self._counts: dict[str, _Counts] = {}

    def server(self) -> dict[str, Any]:
        """ServerMetadata."""
        extensions = [*EXTENSIONS, *([LOADING] if self._config.model_control else [])]
        return {"name": NAME, "version": self._version, "extensions": sorted(extensions)}

    def ready(self, name: str, version: str = "") -> bool:
        """ModelReady; what is not there is not ready."""
        try:
            self._model(name, version)
        except RequestError as error:
            if error.status is Status.INVALID_ARGUMENT:
                raise
            return False
        return self.is_ready()

    def metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """ModelMetadata."""
        model = self._model(name, version)
        return {
            "name": model.name,
            "versions": [VERSION],
            "platform": model.platform,
            "inputs": [each.told() for each in model.inputs],
            "outputs": [each.told() for each in model.outputs],
        }

    def config(self, name: str, version: str = "") -> dict[str, Any]:
        """ModelConfig."""
        model = self._model(name, version)
        outputs = [each.configured() for each in model.outputs]
        return {"name": model.name, "platform": model.platform, **model.config(), "output": outputs}

    def statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """ModelStatistics: requests of this protocol alone, other frames are in the metrics."""
        models = [self._model(name, version)] if name else self._models()
        return {"model_stats": [self._stats(model) for model in models]}

    async def index(self, ready_only: bool = False) -> list[dict[str, str]]:
        """RepositoryIndex."""
        here = {model.name for model in self._models()}
        lying = here if ready_only else here | set(await self._repository.names())
        # a bundle that is served under another name than its own is ready under that name
        return [
            {"name": name, "version": VERSION, "state": "READY"}
            if name in here
            else {"name": name, "version": VERSION, "state": "UNAVAILABLE", "reason": "unloaded"}
            for name in sorted(lying)
        ]

    async def load(self, name: str, parameters: bool = False) -> None:
        """RepositoryModelLoad: the bundle of a name as it lies in the model directories now."""
        if parameters:
            raise RequestError(Status.UNIMPLEMENTED, "load takes no files or configuration from a client")
        await self._change(self._repository.load, name, "load")

    async def unload(self, name: str) -> None:
        """RepositoryModelUnload."""
        await self._change(self._repository.unload, name, "unload")

    def enter(self, call: Call, right: Right | None) -> Caller:
        """Let a call in.

        Raises:
            RequestError: it may not have what it asks for, or there is no room.
        """
        caller = self.service.let_in(call, right)
        if isinstance(caller, Refusal):
            raise RequestError(caller.status, caller.message)
        return caller

    async def infer(self, request: InferRequest, caller: Caller) -> InferResponse:
        """ModelInfer; the call was let in.

        Raises:
            RequestError: why it was not answered.
        """
        model = self._model(request.model, request.version)
        counts = self._counts.setdefault(model.name, _Counts())
        begun_ns = time.perf_counter_ns()
        try:
            outputs, spent = await model.infer(request, caller)
        except BaseException:
            counts.fail += 1
            counts.fail_ns += time.perf_counter_ns() - begun_ns
            raise
        counts.success += 1
        counts.success_ns += time.perf_counter_ns() - begun_ns
        counts.rows += outputs[0].shape[0]
        counts.last_ms = time.time_ns() // 1_000_000
        _add(counts, spent)
        return InferResponse(request, VERSION, outputs, model.parameters())

    async def _change(self, change: Callable[[str], Any], name: str, what: str) -> None:
        if not self._config.model_control:
            raise RequestError(
                Status.UNAVAILABLE,
                f"explicit model {what} is not allowed; the server's operator allows it with --model-control",
            )
        try:
            await change(name)
        except UnknownModelError as error:
            raise RequestError(Status.NOT_FOUND, f"failed to {what} '{name[:_SHOWN]}': {error}") from error
        except BundleError as error:
            raise RequestError(Status.INTERNAL, f"failed to {what} '{name[:_SHOWN]}': {error}") from error

    def _models(self) -> list[Model]:
        return [*map(self._of, self._catalogue), *self._simple]

    def _of(self, served: ServedBundle) -> Model:
        batch, most = self._config.batching.max_batch_size, self._config.max_output_bytes
        return BundleModel(served, self.service, batch, most)

    def _model(self, name: str, version: str) -> Model:
        if version and not (version.isascii() and version.isdigit() and len(version) <= 18):
            raise invalid(
                f"failed to get model version from specified version string '{version[:_SHOWN]}', version "
                "should be an integral value > 0"
            )
        served = self._repository.served(name)
        model = self._of(served) if served else next((one for one in self._simple if one.name == name), None)
        if model is None:
            raise RequestError(Status.NOT_FOUND, f"Request for unknown model: '{name[:_SHOWN]}' is not found")
        if version and int(version) != int(VERSION):
            unknown = f"Request for unknown model: '{name}' version {version} is not found"
            raise RequestError(Status.NOT_FOUND, unknown)
        return model

    def _stats(self, model: Model) -> dict[str, Any]:
        counts = self._counts.get(model.name, _Counts())
        spent = counts.spent_us
        done = counts.success
        return {
            "name": model.name,
            "version": VERSION,
            "last_inference": counts.last_ms,
            "inference_count": counts.rows,
            # batches are shared with frames of others: a request counts as one execution
            "execution_count": done,
            "inference_stats": {
                "success": {"count": done, "ns": counts.success_ns},
                "fail": {"count": counts.fail, "ns": counts.fail_ns},
                "queue": {"count": done, "ns": spent["queue"] * 1000},
                "compute_input": {"count": done, "ns": spent["input"] * 1000},
                "compute_infer": {"count": done, "ns": spent["infer"] * 1000},
                "compute_output": {"count": 0, "ns": 0},
            },
        }


def _add(counts: _Counts, spent: Answered) -> None:
    for what, microseconds in spent.items():
        counts.spent_us[what] += microseconds
