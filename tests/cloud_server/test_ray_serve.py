"""The engine `ray-serve` without a cluster: what it does when copies die, are slow, or are not there at all.

A cluster of two nodes with one killed under load is in tests/integration/test_ray_cluster.py.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from siftfunnel.cloud_server.engine import EngineError, EngineOptions, EngineUnavailableError, open_engine
from siftfunnel.cloud_server.ray_serve import RayServeEngine
from siftfunnel.shared.bundle import Bundle
from tests.cloud_server.conftest import model_file

LOGITS = [np.ones((1, 3), np.float32)]
FEATURES = np.zeros((1, 12, 8, 8), np.float32)


class Handle:
    """Stands for a deployment: gives or raises one thing after the other."""

    def __init__(self, *happenings: Any) -> None:
        self._happenings: Iterator[Any] = iter(happenings)
        self.calls = 0
        self.cancelled = 0

    def remote(self, features: object) -> "Handle":
        self.calls += 1
        return self

    def result(self, timeout_s: float) -> Any:
        happening = next(self._happenings)
        if isinstance(happening, BaseException):
            raise happening
        return happening

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture(scope="module", autouse=True)
def ray_is_loaded() -> None:
    """Ray's own modules use pydantic in a way that pydantic warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray.serve  # noqa: F401


@pytest.fixture
def engine_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[Handle], RayServeEngine]:
    def make(handle: Handle) -> RayServeEngine:
        monkeypatch.setattr(RayServeEngine, "_open", lambda self: handle)
        monkeypatch.setattr("siftfunnel.cloud_server.ray_serve._PAUSE_S", 0.0)
        return RayServeEngine(model_file(bundle), bundle.manifest, EngineOptions(replicas=(1, 3)))

    return make


def died() -> Exception:
    from ray.exceptions import ActorDiedError

    return ActorDiedError()


def test_a_batch_whose_copy_died_is_run_again(engine_on: Callable[[Handle], RayServeEngine]) -> None:
    handle = Handle(died(), died(), LOGITS)
    assert engine_on(handle).run(FEATURES)[0] is LOGITS[0]
    assert handle.calls == 3


def test_a_batch_whose_copies_all_die_goes_back_to_its_client(
    engine_on: Callable[[Handle], RayServeEngine],
) -> None:
    with pytest.raises(EngineUnavailableError, match="the Ray cluster lost 4 copies"):
        engine_on(Handle(*(died() for _ in range(4)))).run(FEATURES)


def test_no_answer_in_time_goes_back_too_and_is_not_computed_any_more(
    engine_on: Callable[[Handle], RayServeEngine],
) -> None:
    handle = Handle(TimeoutError())
    with pytest.raises(EngineUnavailableError, match="no copy of the model answers within 10 s"):
        engine_on(handle).run(FEATURES)
    assert handle.cancelled == 1


def test_a_model_that_fails_is_not_tried_again(engine_on: Callable[[Handle], RayServeEngine]) -> None:
    from ray.exceptions import RayTaskError

    handle = Handle(RayTaskError("run", "trace", ValueError("wrong shape")), LOGITS)
    with pytest.raises(RuntimeError, match="the model failed on the Ray cluster: wrong shape"):
        engine_on(handle).run(FEATURES)
    assert handle.calls == 1


def test_two_batches_per_copy_are_under_way(engine_on: Callable[[Handle], RayServeEngine]) -> None:
    assert engine_on(Handle()).batches_in_flight == 6


def test_nobody_at_the_address_is_said(bundle: Bundle, free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(EngineError, match=f"no Ray cluster answers at {address} within 0.1 s"):
        open_engine(
            "ray-serve", model_file(bundle), bundle.manifest, EngineOptions(ray_address=address, start_s=0.1)
        )


def test_an_address_without_a_port_is_said(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="--ray-address: 'head' is not HOST:PORT"):
        open_engine("ray-serve", model_file(bundle), bundle.manifest, EngineOptions(ray_address="head"))


@pytest.mark.parametrize(
    ("engine", "module", "extra"), [("ray-serve", "ray", "ray"), ("torch", "torch", "torch")]
)
def test_what_is_not_installed_is_named_with_its_extra(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, engine: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "siftfunnel.cloud_server.torch_engine", raising=False)
    with pytest.raises(EngineError, match=rf"needs {module}, .* pip install '\.\[{extra}\]'"):
        open_engine(engine, model_file(bundle), bundle.manifest, EngineOptions())


@pytest.mark.parametrize("replicas", [(0, 1), (3, 2)])
def test_a_number_of_copies_that_makes_no_sense_is_refused(replicas: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="replicas need 1 <= fewest <= most"):
        EngineOptions(replicas=replicas)
