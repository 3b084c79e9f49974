"""What gRPC and TLS say is understood, and a server that only hangs up is asked again."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siftfunnel.certs import CertificateFiles, make_certificates
from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.errors import EdgeError, ServerUnreachable, TlsFailure
from siftfunnel.edge_client.redial import unreachable
from siftfunnel.edge_client.status import status_error
from siftfunnel.edge_client.tls_probe import tls_says
from siftfunnel.edge_client.troubles import TROUBLES, trouble_of
from siftfunnel.shared.tls import TlsFiles


@pytest.mark.parametrize(
    ("said", "kind", "final"),
    [
        ("CERTIFICATE_VERIFY_FAILED: certificate is not yet valid: OK", TlsFailure, False),
        ("CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", TlsFailure, True),
        ("CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate: OK", TlsFailure, True),
        ("UNAUTHENTICATED: Hostname Verification Check failed.", TlsFailure, True),
        ("OPENSSL_internal:WRONG_VERSION_NUMBER", TlsFailure, True),
        ("over TLS the server says TLSV13_ALERT_CERTIFICATE_REQUIRED", TlsFailure, True),
        ("over TLS the server says TLSV1_ALERT_UNKNOWN_CA", TlsFailure, True),
        ("over TLS the server says SSLV3_ALERT_CERTIFICATE_EXPIRED", TlsFailure, True),
        ("over TLS the server says SSLV3_ALERT_BAD_CERTIFICATE", TlsFailure, False),
        ("TLS: cannot read client.key: No such file or directory", TlsFailure, False),
        ("socket: Too many open files", ServerUnreachable, False),
        ("DNS resolution failed for cloud:1", ServerUnreachable, False),
        ("errors resolving cloud:1: [field:hostname lookup error:address]", ServerUnreachable, False),
    ],
)
def test_each_trouble_has_its_error_and_is_final_or_not(
    said: str, kind: type[EdgeError], final: bool
) -> None:
    error = status_error("UNAVAILABLE", said, "server:1", opened=False)
    assert (type(error) is kind) == final
    given_up = unreachable("server:1", said, was_connected=False, over_tls=True)
    assert type(given_up) is kind
    assert said in str(given_up)
    assert "is `siftfunnel cloud` running" not in str(given_up)


def test_a_connection_that_worked_is_not_given_up_for_its_certificate() -> None:
    assert status_error("UNAVAILABLE", "certificate has expired", "server:1", opened=True) is None


def test_a_lost_server_is_no_trouble_of_its_own() -> None:
    assert trouble_of("failed to connect to all addresses; Connection refused") is None


def test_no_trouble_hides_behind_an_earlier_one() -> None:
    for trouble in TROUBLES:
        assert trouble_of(trouble.sign) is trouble


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CertificateFiles]:
    return {name: make_certificates(tmp_path_factory.mktemp(name) / name) for name in ("ours", "theirs")}


@contextmanager
def openssl_server(files: CertificateFiles, asks: bool) -> Iterator[ServerAddress]:
    """A server that sends alerts, as gRPC's does not, and hangs up after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE

    def shake() -> None:
        plain, _ = listener.accept()
        plain.settimeout(10)
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            plain.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake, daemon=True)
        thread.start()
        yield ServerAddress(f"127.0.0.1:{listener.getsockname()[1]}", True)
        thread.join(10)


def shown(address: ServerAddress, files: CertificateFiles | None) -> ServerAddress:
    if files is None:
        return address
    return ServerAddress(address.target, TlsFiles(files.ca, files.client, files.client_key))


@pytest.mark.parametrize(
    ("asks", "shows", "said"),
    [
        (True, None, "says TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        (True, "theirs", "says TLSV1_ALERT_UNKNOWN_CA"),
        (True, "ours", "asks for a client certificate, is shown this device's and hangs up"),
        (False, "ours", "hangs up"),
    ],
)
def test_a_server_that_hangs_up_is_asked_why(
    made: dict[str, CertificateFiles], asks: bool, shows: str | None, said: str
) -> None:
    with openssl_server(made["ours"], asks) as address:
        assert tls_says(shown(address, made[shows] if shows else None)) == said


def test_nobody_there_says_nothing(made: dict[str, CertificateFiles], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert tls_says(ServerAddress(f"127.0.0.1:{port}", True)) == ""
