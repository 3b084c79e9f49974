"""TLS and mutual TLS with certificates made here."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from edge_client import SplitClient
from edge_client.errors import ServerUnreachable, TlsFailure
from shared.bundle import Bundle
from shared.tls import TlsFiles
from siftfunnel.certs import CertificateFiles, make_certificates
from tests.edge_client.conftest import pixels

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return make_certificates(tmp_path_factory.mktemp("strangers"))


def test_tls_works_for_streams_and_single_calls(
    bundle: Bundle, serve: Serve, certificates: CertificateFiles
) -> None:
    files = TlsFiles(certificate=certificates.server, key=certificates.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=TlsFiles(ca=certificates.ca)) as client,
    ):
        assert client.classify(pixels(0)).class_name
        assert len(list(client.stream([pixels(0), pixels(1)]))) == 2


def test_mutual_tls_wants_the_devices_own_certificate(
    bundle: Bundle, serve: Serve, certificates: CertificateFiles
) -> None:
    files = TlsFiles(certificates.ca, certificates.server, certificates.server_key)
    own = TlsFiles(certificates.ca, certificates.client, certificates.client_key)
    with serve(bundle, tls=files) as address:
        with SplitClient(bundle, address, tls=own) as client:
            assert client.classify(pixels(0)).class_name
        with (
            SplitClient(bundle, address, tls=TlsFiles(ca=certificates.ca), connect_timeout_s=0.5) as client,
            pytest.raises(ServerUnreachable, match=address),
        ):
            client.classify(pixels(0))


def test_a_server_of_another_authority_is_not_trusted_and_not_dialled_again(
    bundle: Bundle, serve: Serve, certificates: CertificateFiles, strangers: CertificateFiles
) -> None:
    files = TlsFiles(certificate=strangers.server, key=strangers.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=TlsFiles(ca=certificates.ca), connect_timeout_s=60) as client,
    ):
        with pytest.raises(TlsFailure, match="--tls-ca"):
            client.classify(pixels(0))
        with pytest.raises(TlsFailure, match="--tls-ca"):
            list(client.stream([pixels(0)]))


def test_plain_text_to_a_tls_server_hints_at_tls(
    bundle: Bundle, serve: Serve, certificates: CertificateFiles
) -> None:
    files = TlsFiles(certificate=certificates.server, key=certificates.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, connect_timeout_s=0.5) as client,
        pytest.raises(ServerUnreachable, match="--tls-ca"),
    ):
        list(client.stream([pixels(0)]))


def test_tls_to_a_plain_server_says_so(bundle: Bundle, server: str, certificates: CertificateFiles) -> None:
    with (
        SplitClient(bundle, server, tls=TlsFiles(ca=certificates.ca), connect_timeout_s=0.5) as client,
        pytest.raises(ServerUnreachable, match=server),
    ):
        list(client.stream([pixels(0)]))


def test_a_name_without_tls_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="add --tls"):
        SplitClient(bundle, "127.0.0.1:1", tls_name="server")
