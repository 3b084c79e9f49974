"""The cloud half as a Ray Serve application: copies on the nodes of a cluster, scaled with the load.

Ours stays the front: streams, codecs, batches, answers. Each batch is one call of a `DeploymentHandle`. The
application outlives this process, and servers that bring the same model share it.
"""

import hashlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.engine import (
    EngineError,
    EngineOptions,
    EngineUnavailableError,
    OnnxRuntimeEngine,
    ends_of,
)
from siftfunnel.cloud_server.pieces import Outputs, Pieces
from siftfunnel.shared.manifest import Manifest

_OBJECT_STORE_BYTES = 100 * 1024 * 1024
_POLL_S = 0.2
_ATTEMPTS = 4
_PAUSE_S = 0.1
_PER_REPLICA = 2
"""Batches under way per copy: one waits there while the other is computed."""

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class RayServeEngine:
    """Copies of a model on a Ray cluster.

    A copy or a node that dies costs time, not frames: the batch is run again elsewhere, and if that takes
    longer than `remote_timeout_s`, its frames go back to their clients, to be sent again.

    Args:
        model_path: the model; its bytes travel to the nodes.
        manifest: names its inputs and outputs.
        options: address, number of copies, threads of each, patience.

    Raises:
        EngineError: not a model, no cluster there, or no room in it for the fewest copies.
    """

    def __init__(self, model_path: Path, manifest: Manifest, options: EngineOptions) -> None:
        # what is no model shall be said at once and in the same words as everywhere
        OnnxRuntimeEngine(model_path, manifest, options)
        self.batches_in_flight = _PER_REPLICA * options.replicas[1]
        self._options = options
        self._model_path = model_path
        self._manifest, self._pieces = manifest, Pieces(manifest)
        self._handle = self._open()

    def run(self, features_NCHW: NDArray[np.float32]) -> Outputs:
        """See `Engine`.

        Raises:
            EngineUnavailableError: no copy answered in time, or several died one after the other.
            RuntimeError: the model failed on this batch.
        """
        return self._pieces.run(features_NCHW, self._compute)

    def _compute(self, tensors: Sequence[NDArray[np.float32]]) -> Sequence[NDArray[np.generic]]:
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        deadline_s = time.monotonic() + self._options.remote_timeout_s
        for attempt in range(1, _ATTEMPTS + 1):
            response = self._handle.remote(list(tensors))
            try:
                given: list[NDArray[np.generic]] = response.result(
                    timeout_s=max(deadline_s - time.monotonic(), 0.0)
                )
                return given
            except RayTaskError as error:
                raise RuntimeError(f"the model failed on the Ray cluster: {error.cause}") from error
            except TimeoutError as error:
                response.cancel()
                said = f"no copy of the model answers within {self._options.remote_timeout_s:g} s"
                raise EngineUnavailableError(f"{said} on the Ray cluster") from error
            except (RayError, RayServeException) as error:
                if attempt == _ATTEMPTS:
                    raise EngineUnavailableError(f"the Ray cluster lost {attempt} copies: {error}") from error
                _log.warning("a copy of the model is gone, its batch is run again: %s", type(error).__name__)
                time.sleep(_PAUSE_S * attempt)
        raise AssertionError("the last attempt returns or raises")

    def _open(self) -> Any:
        """Connect, deploy unless another server has, and wait until the fewest copies run."""
        _connect(self._options)
        from ray import serve

        model = self._model_path.read_bytes()
        name = f"{self._options.remote_model}-{hashlib.sha256(model).hexdigest()[:12]}"
        serve.start(proxy_location="Disabled")
        if name not in serve.status().applications:
            half = (model, self._options.threads, *ends_of(self._manifest), self._pieces.whole)
            _deploy(name, half, self._options)
        self._wait(name)
        return serve.get_app_handle(name)

    def _wait(self, name: str) -> None:
        import ray
        from ray import serve

        deadline_s = time.monotonic() + self._options.start_s
        while (app := serve.status().applications[name]).status != "RUNNING":
            if app.status == "DEPLOY_FAILED":
                raise EngineError(f"{self._model_path}: Ray Serve cannot deploy it: {app.message}")
            if time.monotonic() > deadline_s:
                fewest, threads = self._options.replicas[0], self._options.threads
                cores = ray.cluster_resources().get("CPU", 0)
                raise EngineError(
                    f"{self._model_path}: {fewest} copies of {threads} threads do not run within "
                    f"{self._options.start_s:g} s; the Ray cluster has {cores:g} cores in all. "
                    "Add nodes, or ask for fewer (--replicas, --threads)"
                )
            time.sleep(_POLL_S)


def _connect(options: EngineOptions) -> None:
    """Join the cluster, or start one of this machine's cores; once per process.

    Raises:
        EngineError: nobody there, or somebody who does not let us in.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if options.ray_address is None:
        _keep_token_in_memory()
    import ray

    if ray.is_initialized():
        return
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "siftfunnel"}
    if options.ray_address is None:
        from siftfunnel.cloud_server.config import usable_cores

        told |= {
            "address": "local",
            "include_dashboard": False,
            "num_cpus": usable_cores(),
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        # Ray itself tries for a minute and a half, in C++, whoever wants to stop it
        _await_port(options.ray_address, options.start_s)
        told["address"] = options.ray_address
    try:
        _on_lasting_thread(lambda: ray.init(**told))
    except Exception as error:
        # a node that does not start in time is a bare Exception
        where = options.ray_address or "this machine"
        raise EngineError(f"the Ray cluster at {where} cannot be joined: {error}") from error


def _await_port(address: str, patience_s: float) -> None:
    """Wait until somebody listens there; a cluster may start after its servers.

    Raises:
        EngineError: an address that is none, or nobody in time.
    """
    from siftfunnel.shared.ports import Endpoint

    try:
        where = Endpoint.parse(address)
    except ValueError as error:
        raise EngineError(f"--ray-address: {error}") from error
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            with socket.create_connection((where.host, where.port), timeout=patience_s):
                return
        except OSError as error:
            if time.monotonic() + _POLL_S > deadline_s:
                raise EngineError(
                    f"no Ray cluster answers at {address} within {patience_s:g} s: {error}"
                ) from error
        time.sleep(_POLL_S)


def _keep_token_in_memory() -> None:
    """Ray protects a cluster that it starts with a token, and one it must make goes into the user's home."""
    if not any(name.startswith("RAY_AUTH_") for name in os.environ):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _deploy(name: str, half: tuple[Any, ...], options: EngineOptions) -> None:
    """Start copies of `CloudHalf(*half)` under a name."""
    from ray import cloudpickle, serve
    from ray.serve.config import AutoscalingConfig

    from siftfunnel.cloud_server import ray_replica

    cloudpickle.register_pickle_by_value(ray_replica)
    fewest, most = options.replicas
    if fewest == most:
        scaling: dict[str, Any] = {"num_replicas": fewest}
    else:
        # a copy computes one batch at a time; whatever waits asks for another copy
        scaling = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=fewest, max_replicas=most, target_ongoing_requests=1
            )
        }
    deployment = serve.deployment(
        ray_replica.CloudHalf,
        name="CloudHalf",
        max_ongoing_requests=ray_replica.MERGED_BATCHES,
        ray_actor_options={"num_cpus": options.threads},
        **scaling,
    )
    target = serve.RunTarget(target=deployment.bind(*half), name=name, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)


def _on_lasting_thread(do: Callable[[], Result]) -> Result:
    """Call it on a thread that stays.

    Not the main thread, whose signal handlers Ray would take; and the nodes that Ray starts die with the
    thread that started them.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(do())
        except BaseException as error:
            done.set_exception(error)
        threading.Event().wait()

    threading.Thread(target=work, name="ray-driver", daemon=True).start()
    return done.result()
