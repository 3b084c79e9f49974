"""TLS and mutual TLS with certificates made here."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Timer

import pytest

from siftfunnel.certs import CertificateFiles, make_certificates
from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.errors import ServerUnreachable, TlsFailure
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.tls import TlsError, TlsFiles
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
    with serve(bundle, tls=files) as address, SplitClient(bundle, address, tls=own) as client:
        assert client.classify(pixels(0)).class_name


def test_a_missing_client_certificate_is_final_and_told_with_what_to_do(
    bundle: Bundle, serve: Serve, certificates: CertificateFiles
) -> None:
    files = TlsFiles(certificates.ca, certificates.server, certificates.server_key)
    bare = TlsFiles(ca=certificates.ca)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=bare, connect_timeout_s=60) as client,
    ):
        with pytest.raises(TlsFailure, match=r"wants a client certificate.*--tls-cert and --tls-key"):
            client.classify(pixels(0))
        with pytest.raises(TlsFailure, match=r"wants a client certificate.*--tls-cert and --tls-key"):
            list(client.stream([pixels(0)]))


def test_a_foreign_client_certificate_is_told_at_once_and_in_the_end(
    bundle: Bundle,
    serve: Serve,
    certificates: CertificateFiles,
    strangers: CertificateFiles,
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = TlsFiles(certificates.ca, certificates.server, certificates.server_key)
    own = TlsFiles(certificates.ca, strangers.client, strangers.client_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=own, connect_timeout_s=0.5) as client,
        pytest.raises(TlsFailure, match="does not accept this device's certificate"),
    ):
        client.classify(pixels(0))
    assert [record.message.endswith("trying again") for record in caplog.records] == [True]


def test_a_certificate_that_is_not_valid_yet_is_waited_for_and_told(
    bundle: Bundle, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # certificates are valid from an hour before
    soon = make_certificates(tmp_path / "soon", now=datetime.now(UTC) + timedelta(hours=1, seconds=2))
    files = TlsFiles(certificate=soon.server, key=soon.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=TlsFiles(ca=soon.ca), connect_timeout_s=60) as client,
    ):
        assert isinstance(next(iter(client.stream([pixels(0)]))), Answer)
    # the server, in this process too, has a word of its own to say of the certificate
    (record,) = (each for each in caplog.records if each.name.startswith("siftfunnel.edge_client"))
    assert "not valid yet by this device's clock" in record.message
    assert record.message.endswith("trying again")


def test_a_certificate_that_stays_not_valid_says_what_the_clock_says(
    bundle: Bundle, serve: Serve, tmp_path: Path
) -> None:
    later = make_certificates(tmp_path / "later", now=datetime.now(UTC) + timedelta(days=2))
    files = TlsFiles(certificate=later.server, key=later.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=TlsFiles(ca=later.ca), connect_timeout_s=0.5) as client,
        pytest.raises(TlsFailure, match=f"clock, which says {datetime.now(UTC):%Y-%m-%d}"),
    ):
        client.classify(pixels(0))


@pytest.mark.parametrize(
    ("days", "names", "remedy"), [(-500, ["127.0.0.1"], "has expired"), (0, ["elsewhere"], "--tls-name")]
)
def test_an_expired_certificate_and_one_for_another_name_are_final_and_told_apart(
    bundle: Bundle, serve: Serve, tmp_path: Path, days: int, names: list[str], remedy: str
) -> None:
    made = make_certificates(tmp_path / "made", names, now=datetime.now(UTC) + timedelta(days=days))
    files = TlsFiles(certificate=made.server, key=made.server_key)
    with (
        serve(bundle, tls=files) as address,
        SplitClient(bundle, address, tls=TlsFiles(ca=made.ca), connect_timeout_s=60) as client,
        pytest.raises(TlsFailure, match=remedy),
    ):
        list(client.stream([pixels(0)]))


def test_renewed_certificates_are_read_at_the_next_connection(
    bundle: Bundle, serve: Serve, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    place, port = tmp_path / "own", free_port()
    made = make_certificates(place)
    own = TlsFiles(made.ca, made.client, made.client_key)
    with SplitClient(bundle, f"127.0.0.1:{port}", tls=own) as client:
        for _ in range(2):
            files = TlsFiles(made.ca, made.server, made.server_key)
            with serve(bundle, port=port, tls=files):
                assert client.classify(pixels(0)).class_name
                assert len(list(client.stream([pixels(0)]))) == 1
            make_certificates(place, force=True)


def test_certificates_that_are_being_renewed_are_waited_for(
    bundle: Bundle, serve: Serve, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path / "own")
    files = TlsFiles(made.ca, made.server, made.server_key)
    own = TlsFiles(made.ca, made.client, made.client_key)
    key = made.client_key.read_bytes()
    with serve(bundle, tls=files) as address, SplitClient(bundle, address, tls=own) as client:
        made.client_key.unlink()
        Timer(0.3, made.client_key.write_bytes, [key]).start()
        assert client.classify(pixels(0)).class_name


def test_certificate_files_that_stay_away_are_named(bundle: Bundle, tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "own")
    own = TlsFiles(made.ca, made.client, made.client_key)
    made.client_key.unlink()
    with (
        SplitClient(bundle, "127.0.0.1:1", tls=own, connect_timeout_s=0.2) as client,
        pytest.raises(TlsFailure, match=r"certificate files.*client\.key"),
    ):
        list(client.stream([pixels(0)]))


def test_certificate_files_may_be_texts(certificates: CertificateFiles) -> None:
    assert TlsFiles(str(certificates.ca)) == TlsFiles(certificates.ca)
    with pytest.raises(TlsError, match="cannot read nowhere"):
        TlsFiles("nowhere")


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
        SplitClient(bundle, server, tls=TlsFiles(ca=certificates.ca), connect_timeout_s=60) as client,
        pytest.raises(TlsFailure, match=f"{server}.*no TLS is spoken there"),
    ):
        list(client.stream([pixels(0)]))


def test_a_text_for_certificate_files_is_refused_with_what_to_give(bundle: Bundle) -> None:
    with pytest.raises(TypeError, match=r"TlsFiles\(ca=...\), True or None, not 'ca\.pem'"):
        SplitClient(bundle, "127.0.0.1:1", tls="ca.pem")


def test_a_name_without_tls_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="add --tls"):
        SplitClient(bundle, "127.0.0.1:1", tls_name="server")
