"""`tritonclient.http`, unmodified, and requests that no client would write."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton

from siftfunnel.shared.bundle import Bundle
from tests.cloud_server.conftest import LOOPBACK, Frames, Serve
from tests.cloud_server.oip_rig import an_input, beside, features_of, refusal, right_logits

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def told(frames: Frames, rows: int = 1, **how: Any) -> Any:
    return an_input(triton, "feature", features_of(frames, rows), "FP32", **how)


async def test_a_client_learns_what_is_served(serve: Serve) -> None:
    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("tiny")
            assert not client.is_model_ready("nobody")
            assert client.get_server_metadata()["name"] == "siftfunnel"
            assert client.get_model_metadata("tiny", "1")["inputs"][0]["shape"] == [-1, 12, 8, 8]
            assert client.get_model_config("tiny")["max_batch_size"] == 4
            assert client.get_model_repository_index()[0]["state"] == "READY"
            assert client.get_inference_statistics()["model_stats"][0]["name"] == "tiny"
            assert refusal(client.get_model_metadata, "nobody")[0] == "404"

    async with serve(oip_http=LOOPBACK) as (server, _):
        await beside(ask, str(server.addresses.oip_http))


@pytest.mark.parametrize("sent_raw", [True, False])
@pytest.mark.parametrize("given_raw", [True, False])
async def test_features_are_answered_however_they_are_sent(
    serve: Serve, bundle: Bundle, frames: Frames, sent_raw: bool, given_raw: bool
) -> None:
    def ask(address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            wanted = [triton.InferRequestedOutput("logits", binary_data=given_raw)]
            sent = [told(frames, 2, binary_data=sent_raw)]
            answer = client.infer("tiny", sent, outputs=wanted, request_id="9")
            assert answer.get_response()["id"] == "9"
            assert np.allclose(
                answer.as_numpy("logits"), right_logits(bundle, features_of(frames, 2)), atol=1e-6
            )
            assert ("data" in answer.get_output("logits")) is not given_raw

    async with serve(oip_http=LOOPBACK) as (server, _):
        await beside(ask, str(server.addresses.oip_http))


async def test_payloads_and_compressed_bodies(serve: Serve, frames: Frames) -> None:
    payloads = np.array([frames.frame(number, "q6").payload for number in range(2)], dtype=object)

    def ask(address: str, how: str | None) -> Any:
        with triton.InferenceServerClient(address) as client:
            sent = an_input(triton, "payload", payloads, "BYTES")
            answer = client.infer(
                "tiny", [sent], parameters={"codec": "q6"}, request_compression_algorithm=how
            )
            return answer.as_numpy("logits").shape

    async with serve(oip_http=LOOPBACK, compression=True) as (server, _):
        for how in (None, "gzip", "deflate"):
            assert await beside(ask, str(server.addresses.oip_http), how) == (2, 3)
    async with serve(oip_http=LOOPBACK) as (server, _):
        with pytest.raises(triton.InferenceServerException, match="--compression"):
            await beside(ask, str(server.addresses.oip_http), "gzip")


async def test_what_is_wrong_is_told_as_json(serve: Serve, frames: Frames) -> None:
    good = {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [1] * 16}
    other = {**good, "name": "INPUT1"}
    wrong: dict[str, Any] = {
        "no json": b"{",
        "too deep": b"[" * 200_000,
        "a list": [],
        "no inputs": {},
        "inputs of another kind": {"inputs": [1]},
        "no name": {"inputs": [{**good, "name": 3}, other]},
        "no shape": {"inputs": [{**good, "shape": []}, other]},
        "shape of text": {"inputs": [{**good, "shape": ["1", 16]}, other]},
        "a huge shape": {"inputs": [{**good, "shape": [10**30, 16]}, other]},
        "too few values": {"inputs": [{**good, "data": [1]}, other]},
        "too many values": {"inputs": [{**good, "data": [1] * 17}, other]},
        "a value too large": {"inputs": [{**good, "data": [2**31] * 16}, other]},
        "a value of text": {"inputs": [{**good, "data": ["1"] * 16}, other]},
        "a truth": {"inputs": [{**good, "data": [True] * 16}, other]},
        "no data": {"inputs": [{key: good[key] for key in ("name", "shape", "datatype")}, other]},
        "bytes that are not there": {
            "inputs": [
                {key: good[key] for key in ("name", "shape", "datatype")}
                | {"parameters": {"binary_data_size": 64}},
                other,
            ]
        },
        "an id of another kind": {"id": 1, "inputs": [good, other]},
    }
    async with serve(oip_http=LOOPBACK, simple=True) as (server, _):
        base = f"http://{server.addresses.oip_http}/v2/models/simple"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            for name, body in wrong.items():
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                answer = await client.post("/infer", content=content)
                assert (answer.status_code, list(answer.json())) == (400, ["error"]), name
            right = await client.post("/infer", json={"inputs": [good, other]})
            assert right.json()["outputs"][0]["data"] == [2] * 16
            long = await client.post("/infer", content=b" " * 40_000_000)
            assert long.status_code == 400
            header = {"Inference-Header-Content-Length": "99999"}
            assert (await client.post("/infer", content=b"{}", headers=header)).status_code == 400
