"""Requests over HTTP that nobody would write, made by schemathesis from what each side takes."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import Endpoint
from tests.attacker.conftest import scene as scene
from tests.attacker.scene import Scene
from tests.attacker.web.live import LivePage
from tests.edge_client.conftest import serving
from tests.tinybundle import make_tiny_bundle

NAME = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
VERSION = {**NAME, "name": "version"}
TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"enum": ["feature", "logits", "payload", "other"]},
        "datatype": {"enum": ["FP32", "BYTES", "INT64", "what"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
        "data": {},
    },
}
REQUEST = {
    "type": "object",
    "properties": {
        "id": {},
        "inputs": {"type": "array", "items": TENSOR},
        "outputs": {"type": "array", "items": {"type": "object"}},
        "parameters": {"type": "object"},
    },
}
INFERENCE = {
    "get /v2": {},
    "get /v2/health/live": {},
    "get /v2/health/ready": {},
    "get /v2/models/stats": {},
    "post /v2/repository/index": {},
    "post /v2/repository/models/{model}/load": {"parameters": [NAME]},
    "post /v2/repository/models/{model}/unload": {"parameters": [NAME]},
    "get /v2/models/{model}": {"parameters": [NAME]},
    "get /v2/models/{model}/versions/{version}/config": {"parameters": [NAME, VERSION]},
    "post /v2/models/tiny/infer": {"requestBody": {"content": {"application/json": {"schema": REQUEST}}}},
    "post /v2/models/{model}/infer": {
        "parameters": [
            NAME,
            {"name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "string"}},
        ],
        "requestBody": {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}},
    },
}
QUERY = [
    {"name": name, "in": "query", "schema": {"type": "string"}} for name in ("session", "after", "token")
]
ADMIN = {"get /healthz": {}, "get /bundles": {}, "get /metrics": {}}
PAGE = {
    "get /healthz": {},
    "get /summary": {},
    "head /now": {"parameters": QUERY},
    "get /{model}": {"parameters": [NAME]},
    "post /{model}": {"parameters": [NAME]},
}
NOT_FAULTS = {501, 503}
"""Said on purpose: not done here, not now."""


def operations(told: dict[str, dict[str, Any]]) -> list[Any]:
    paths: dict[str, dict[str, Any]] = {}
    for name, operation in told.items():
        method, path = name.split()
        paths.setdefault(path, {})[method] = {**operation, "responses": {"default": {"description": ""}}}
    document = {"openapi": "3.0.3", "info": {"title": "", "version": "1"}, "paths": paths}
    return [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    from siftfunnel.shared.ports import free_ports

    return dict(zip(("oip_http", "http"), free_ports(2), strict=True))


@pytest.fixture(scope="module")
def server(bundle: Bundle, ports: dict[str, int]) -> Iterator[None]:
    told = {name: Endpoint("127.0.0.1", port) for name, port in ports.items()}
    with serving(bundle, **told):
        yield


@pytest.fixture
def page(scene: Scene) -> Iterator[LivePage]:
    live = LivePage(scene)
    yield live
    live.close()


def asked(operation: Any, url: str, data: st.DataObject) -> None:
    """One request; a fault of the server is a finding, and so is an error that is not told as JSON."""
    case = data.draw(operation.as_strategy())
    answer = case.call(base_url=url, timeout=20)
    assert answer.status_code < 500 or answer.status_code in NOT_FAULTS, (case.as_curl_command(), answer.text)


OFTEN = settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("operation", operations(INFERENCE), ids=lambda each: each.label)
@given(data=st.data())
@OFTEN
def test_the_open_inference_protocol(
    operation: Any, server: None, ports: dict[str, int], data: st.DataObject
) -> None:
    asked(operation, f"http://127.0.0.1:{ports['oip_http']}", data)


@pytest.mark.parametrize("operation", operations(ADMIN), ids=lambda each: each.label)
@given(data=st.data())
@OFTEN
def test_the_admin_side(operation: Any, server: None, ports: dict[str, int], data: st.DataObject) -> None:
    asked(operation, f"http://127.0.0.1:{ports['http']}", data)


@pytest.mark.parametrize("operation", operations(PAGE), ids=lambda each: each.label)
@given(data=st.data())
@OFTEN
def test_the_page(operation: Any, page: LivePage, data: st.DataObject) -> None:
    asked(operation, page.url.rstrip("/"), data)
