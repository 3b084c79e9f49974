"""Local certificates: what they say, who may read them, and that TLS accepts them."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from siftfunnel import cli
from siftfunnel.certs import CertificateFiles, make_certificates, subject_name


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "certs")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {
        "ca.pem": 0o644,
        "server.pem": 0o644,
        "client.pem": 0o644,
        "ca.key": 0o600,
        "server.key": 0o600,
        "client.key": 0o600,
    }


def test_the_server_certificate_carries_the_names_it_was_asked_for(tmp_path: Path) -> None:
    files = make_certificates(tmp_path, names=["cloud.example", "10.0.0.7", "::1"])
    names = load(files.server).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cloud.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]


def test_certificates_are_valid_from_before_now_for_the_days_asked_for(tmp_path: Path) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    certificate = load(make_certificates(tmp_path, valid_days=3, now=now).server)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc == now + timedelta(days=3)


def test_no_days_are_refused_by_the_flag(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--days"):
        make_certificates(tmp_path, valid_days=0)


def test_days_past_the_end_of_the_calendar_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="99999999 days from now"):
        make_certificates(tmp_path, valid_days=99_999_999)


def test_only_the_authority_may_sign(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    signs = {
        path.name: load(path).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        for path in (files.ca, files.server, files.client)
    }
    assert signs == {"ca.pem": True, "server.pem": False, "client.pem": False}


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    before = files.ca_key.read_bytes()
    files.server.unlink()
    with pytest.raises(FileExistsError, match="--force"):
        make_certificates(tmp_path)
    assert files.ca_key.read_bytes() == before
    assert not files.server.exists()
    make_certificates(tmp_path, force=True)
    assert files.ca_key.read_bytes() != before
    assert stat.S_IMODE(files.ca_key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name", ["", "two words", "https://cloud", "-dash.example", "a" * 254, "300.1.1.1/8"]
)
def test_a_name_that_no_client_could_use_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither a DNS name nor an IP address"):
        subject_name(name)


@pytest.mark.parametrize(
    "name", ["localhost", "cloud", "a.b.example", "*.example", "_grpc.example", "xn--bcher-kva.ch"]
)
def test_a_name_that_a_client_could_use_is_taken(name: str) -> None:
    assert subject_name(name).value == name


def shake_hands(files: CertificateFiles, server_name: str, with_client: bool) -> bytes:
    """One mutual TLS handshake over loopback; returns what the client received."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(files.server, files.server_key)
    server_side.load_verify_locations(files.ca)
    server_side.verify_mode = ssl.CERT_REQUIRED
    client_side = ssl.create_default_context(cafile=str(files.ca))
    if with_client:
        client_side.load_cert_chain(files.client, files.client_key)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with server_side.wrap_socket(connection, server_side=True) as secured:
                    secured.sendall(b"hello")
            except (ssl.SSLError, ConnectionError):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as raw,
                client_side.wrap_socket(raw, server_hostname=server_name) as secured,
            ):
                return secured.recv(5)
        finally:
            thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_mutual_tls_shakes_hands(name: str, tmp_path: Path) -> None:
    assert shake_hands(make_certificates(tmp_path), name, with_client=True) == b"hello"


def test_a_server_of_another_name_is_refused(tmp_path: Path) -> None:
    files = make_certificates(tmp_path, names=["cloud.example"])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(files, "localhost", with_client=True)


def test_a_client_without_a_certificate_gets_nothing(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    try:
        # With TLS 1.3 the client learns of the refusal only when it reads.
        received = shake_hands(files, "localhost", with_client=False)
    except (ssl.SSLError, ConnectionError):
        received = b""
    assert received == b""


def test_the_command_says_how_to_use_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["certs", "--out", str(tmp_path / "new"), "--name", "cloud.example"]) == 0
    text = capsys.readouterr().out
    assert f"--tls-ca {tmp_path / 'new' / 'ca.pem'}" in text
    assert "--tls-client-ca" in text
    assert cli.main(["certs", "--out", str(tmp_path / "new")]) == 2
    assert "already has" in capsys.readouterr().err
