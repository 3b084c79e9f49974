"""A local certificate authority with one server and one client certificate.

Enough for TLS and mutual TLS on machines one owns; not a substitute for a real authority. Keys are on the
P-256 curve, certificates carry the subject names a client checks, and private keys are readable by their
owner alone.
"""

import ipaddress
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DEFAULT_NAMES = ("localhost", "127.0.0.1", "::1")
_DNS_NAME = re.compile(
    r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
)
# Clocks of two machines differ; a certificate that starts this very second is refused by the slower one.
_CLOCK_SKEW = timedelta(hours=1)


class CertificateFiles(NamedTuple):
    """Where the six PEM files of one local authority lie, certificates before keys.

    Attributes:
        ca: the authority's certificate; both sides trust it.
        server: the server's certificate.
        client: the client's certificate, for mutual TLS.
        ca_key: the authority's private key; neither party needs it.
        server_key: the server's private key.
        client_key: the client's private key.
    """

    ca: Path
    server: Path
    client: Path
    ca_key: Path
    server_key: Path
    client_key: Path


def make_certificates(
    directory: Path,
    names: Sequence[str] = DEFAULT_NAMES,
    valid_days: int = 365,
    force: bool = False,
    now: datetime | None = None,
) -> CertificateFiles:
    """Write a new authority, a server certificate for ``names`` and a client certificate.

    Args:
        directory: where the files go; made if missing.
        names: DNS names and IP addresses that clients will use for the server.
        valid_days: days until the certificates expire.
        force: replace files that are already there.
        now: the moment validity is counted from; the present when left out.

    Raises:
        ValueError: a name is neither a DNS name nor an IP address, or ``valid_days`` is not positive or
            reaches past the year 9999.
        FileExistsError: a file is already there and ``force`` is not given; nothing was written.
    """
    if valid_days <= 0:
        raise ValueError(f"certificates are valid for at least 1 day (--days), not {valid_days}")
    if not names:
        raise ValueError("a server certificate needs at least one name; give --name localhost")
    alternatives = [subject_name(name) for name in names]
    names_in_order = [f"{owner}.{kind}" for kind in ("pem", "key") for owner in ("ca", "server", "client")]
    files = CertificateFiles(*(directory / name for name in names_in_order))
    present = [path.name for path in files if path.exists()]
    if present and not force:
        raise FileExistsError(
            f"{directory} already has {', '.join(present)}; choose another --out or replace with --force"
        )
    start = (now or datetime.now(UTC)) - _CLOCK_SKEW
    try:
        end = start + _CLOCK_SKEW + timedelta(days=valid_days)
    except OverflowError:
        raise ValueError(f"{valid_days} days from now is after the year 9999; give fewer (--days)") from None
    ca_key, server_key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    authority = _name("siftfunnel local authority")
    ca = _builder(authority, authority, ca_key, start, end)
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    ca = ca.add_extension(_key_usage(signs_certificates=True), critical=True)
    server = _leaf(_name("siftfunnel cloud"), authority, server_key, ca_key, start, end)
    server = server.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    server = server.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    client = _leaf(_name("siftfunnel edge"), authority, client_key, ca_key, start, end)
    client = client.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)

    directory.mkdir(parents=True, exist_ok=True)
    for path, key in zip(files[3:], (ca_key, server_key, client_key), strict=True):
        _write(path, _key_pem(key), mode=0o600)
    for path, certificate in zip(files[:3], (ca, server, client), strict=True):
        signed = certificate.sign(ca_key, hashes.SHA256())
        _write(path, signed.public_bytes(serialization.Encoding.PEM), mode=0o644)
    return files


def subject_name(name: str) -> x509.GeneralName:
    """Turn what the user typed into the subject name a TLS client compares with.

    >>> subject_name("127.0.0.1").value
    IPv4Address('127.0.0.1')
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if len(name) > 253 or _DNS_NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is neither a DNS name nor an IP address")
    return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        _builder(subject, issuer, key, start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that never has wider permissions than ``mode``, replacing an old one in one step."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
