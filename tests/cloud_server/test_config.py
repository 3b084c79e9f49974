"""What a server accepts to be told."""

from pathlib import Path

import pytest

from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.tls import TlsError

SOMEWHERE = (Path("bundles"),)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051),
        ("cloud.example:0", "cloud.example", 0),
        ("[::1]:443", "::1", 443),
    ],
)
def test_an_address_reads_back_as_it_was_written(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert str(endpoint) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("50051", "is not HOST:PORT"),
        ("localhost:", "is not HOST:PORT"),
        ("localhost:http", "is not HOST:PORT"),
        (":50051", "needs a host before the colon"),
        ("localhost:70000", "a port lies in 0 to 65535, not 70000"),
        ("::1:50051", "write an IPv6 address in brackets"),
        ("[nonsense]:1", "nonsense"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example_or_a_range(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"bundles": ()}, "nothing to serve: .*--bundles.*--bundle"),
        ({"listen": None}, "nowhere to serve: give --listen, --tls-listen or both"),
        ({"engine": "abacus"}, "unknown engine 'abacus'; known: onnxruntime"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"window_frames": 0}, "window_frames must be at least 1, not 0"),
        ({"stall_s": 0.0}, "stall_s must be above 0"),
        ({"drain_s": -1.0}, "drain_s must be at least 0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CloudConfig(**{"bundles": SOMEWHERE, **fields})


def test_an_address_for_tls_without_a_certificate_is_refused() -> None:
    with pytest.raises(TlsError, match="--tls-listen, --tls-cert and --tls-key"):
        CloudConfig(bundles=SOMEWHERE, tls_listen=Endpoint("127.0.0.1", 0))
