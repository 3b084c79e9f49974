"""Real certificates, real handshakes on port 0."""

import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.certificate_dates import validity
from siftfunnel.shared.tls import TlsError, TlsFiles

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.path = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.path)

    def pair(
        self, name: str, start: datetime.datetime = NOW - DAY, end: datetime.datetime = NOW + DAY
    ) -> tuple[Path, Path]:
        """A certificate and its key; files of that name are replaced."""
        made = self._ca.issue_cert("127.0.0.1", not_before=start, not_after=end)
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@contextmanager
def echo_server(files: TlsFiles) -> Iterator[str]:
    """A server that answers `/echo/Call` with what it was sent; yields its address."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        echo = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("echo", {"Call": echo})])
        port = server.add_secure_port("127.0.0.1:0", files.server_credentials())
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def call(address: str, files: TlsFiles) -> bytes:
    with grpc.secure_channel(address, files.channel_credentials()) as channel:
        return channel.unary_unary("/echo/Call")(b"hello", timeout=10)


def test_one_way_tls_checks_the_server(authority):
    with echo_server(TlsFiles(None, *authority.pair("server"))) as address:
        assert call(address, TlsFiles(ca=authority.path)) == b"hello"


def test_a_server_of_another_authority_is_not_believed(authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    with (
        echo_server(TlsFiles(None, *authority.pair("server"))) as address,
        pytest.raises(grpc.RpcError) as caught,
    ):
        call(address, TlsFiles(ca=stranger.path))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_mutual_tls_lets_in_who_has_a_certificate(authority):
    with echo_server(TlsFiles(authority.path, *authority.pair("server"))) as address:
        assert call(address, TlsFiles(authority.path, *authority.pair("device"))) == b"hello"


def test_mutual_tls_turns_away_who_has_none_or_a_strangers(authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    with echo_server(TlsFiles(authority.path, *authority.pair("server"))) as address:
        for files in (TlsFiles(authority.path), TlsFiles(authority.path, *stranger.pair("thief"))):
            with pytest.raises(grpc.RpcError) as caught:
                call(address, files)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# renewal and dates


def test_renewed_files_are_served_without_a_restart(authority, tmp_path):
    (tmp_path / "next").mkdir()
    successor = Authority(tmp_path / "next", "successor")
    served = authority.pair("server")
    with echo_server(TlsFiles(None, *served)) as address:
        assert call(address, TlsFiles(ca=authority.path)) == b"hello"
        for old, new in zip(served, successor.pair("server"), strict=True):
            new.replace(old)
        assert call(address, TlsFiles(ca=successor.path)) == b"hello"


def test_a_renewed_list_of_client_authorities_counts_without_a_restart(authority, tmp_path):
    (tmp_path / "next").mkdir()
    successor = Authority(tmp_path / "next", "successor")
    accepted = tmp_path / "accepted.pem"
    accepted.write_bytes(authority.path.read_bytes())
    device = TlsFiles(authority.path, *successor.pair("device"))
    with echo_server(TlsFiles(accepted, *authority.pair("server"))) as address:
        with pytest.raises(grpc.RpcError):
            call(address, device)
        accepted.write_bytes(authority.path.read_bytes() + successor.path.read_bytes())
        assert call(address, device) == b"hello"


def test_renewed_files_that_do_not_work_are_said_and_the_last_ones_stay_in_use(authority, caplog):
    certificate, key = authority.pair("server")
    with echo_server(TlsFiles(None, certificate, key)) as address:
        certificate.write_bytes(authority.pair("another")[0].read_bytes())
        assert call(address, TlsFiles(ca=authority.path)) == b"hello"
        assert f"{key} is not the key of {certificate}" in caplog.text
        certificate.unlink()
        assert call(address, TlsFiles(ca=authority.path)) == b"hello"


def test_certificates_out_of_their_time_are_said_with_the_date(authority):
    expired = authority.pair("expired", start=NOW - 3 * DAY, end=NOW - 2 * DAY)
    early = authority.pair("early", start=NOW + 2 * DAY, end=NOW + 3 * DAY)
    assert list(TlsFiles(authority.path, *authority.pair("server")).untimely()) == []
    (late,) = TlsFiles(authority.path, *expired).untimely()
    assert f"{expired[0]}: a certificate expired on {NOW - 2 * DAY:%Y-%m-%d %H:%M} UTC" in late
    (soon,) = TlsFiles(authority.path, *early).untimely()
    assert f"{early[0]}: a certificate is valid from {NOW + 2 * DAY:%Y-%m-%d %H:%M} UTC on" in soon


def test_one_authority_in_its_time_is_enough(authority, tmp_path):
    both = tmp_path / "both.pem"
    expired, _ = authority.pair("expired", end=NOW - DAY / 2)
    both.write_bytes(authority.path.read_bytes() + expired.read_bytes())
    assert list(TlsFiles(ca=both).untimely()) == []
    assert len(list(TlsFiles(ca=expired).untimely())) == 1


moments = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2120, 1, 1))


@given(moments, moments)
def test_dates_are_those_that_a_library_reads(one, other):
    start, end = sorted(moment.replace(microsecond=0, tzinfo=datetime.UTC) for moment in (one, other))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n" * 64)])
    wanted = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = wanted.serial_number(1).not_valid_before(start).not_valid_after(end).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    assert list(validity(f"text\n{pem}{pem}")) == [(start, end)] * 2


# files that cannot be used


def test_a_missing_file_is_named(authority, tmp_path):
    certificate, key = authority.pair("server")
    missing = tmp_path / "nowhere.pem"
    for files in ((missing, None, None), (None, missing, key), (None, certificate, missing)):
        with pytest.raises(TlsError, match=f"cannot read {missing}: No such file"):
            TlsFiles(*files)


def test_a_key_of_another_certificate_is_refused(authority):
    certificate, _ = authority.pair("one")
    _, key = authority.pair("two")
    with pytest.raises(TlsError, match=rf"{key} is not the key of {certificate}; take both from one run"):
        TlsFiles(None, certificate, key)


def test_a_file_that_is_no_certificate_is_refused(authority, tmp_path):
    certificate, key = authority.pair("server")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(TlsError, match=r"notes\.txt holds no certificate in PEM form"):
        TlsFiles(ca=text)
    with pytest.raises(TlsError, match=r"notes\.txt and .* are not a certificate and a plain key"):
        TlsFiles(None, text, key)
    with pytest.raises(TlsError, match=r"notes\.txt are not a certificate and a plain key"):
        TlsFiles(None, certificate, text)


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(authority):
    certificate, key = authority.pair("server")
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    key.write_bytes(plain.private_bytes(*form, hidden))
    with pytest.raises(TlsError, match="not a certificate and a plain key"):
        TlsFiles(None, certificate, key)


def test_a_certificate_and_its_key_go_together(authority):
    certificate, key = authority.pair("server")
    with pytest.raises(TlsError, match="a certificate without its key"):
        TlsFiles(certificate=certificate)
    with pytest.raises(TlsError, match="a key without its certificate"):
        TlsFiles(key=key)


def test_no_file_at_all_is_refused():
    with pytest.raises(TlsError, match="give an authority"):
        TlsFiles()


def test_a_server_needs_a_certificate(authority):
    with pytest.raises(TlsError, match="a server needs a certificate and a key"):
        TlsFiles(ca=authority.path).server_credentials()
