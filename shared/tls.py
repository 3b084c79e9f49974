"""TLS for gRPC from files in PEM form, one way or mutual.

grpc is imported when credentials are made, so that reading a configuration does not need it.
"""

import logging
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from siftfunnel.shared.certificate_dates import validity
from siftfunnel.shared.paths import OptionalPath

if TYPE_CHECKING:
    import grpc


_log = logging.getLogger(__name__)


class TlsError(ValueError):
    """Certificate files that cannot be used; the text names the file and what to do."""


@dataclass(frozen=True)
class TlsFiles:
    """Which PEM files a party uses; checked when made.

    Attributes:
        ca: certificates of the authorities that the other side is checked against. A server
            with a `ca` demands a certificate from its clients (mutual TLS).
        certificate: own certificate chain, leaf first.
        key: private key of `certificate`, without a passphrase.

    Raises:
        TlsError: a file is missing or is not PEM, the key does not fit the certificate,
            or one of certificate and key is given without the other.
    """

    ca: OptionalPath = OptionalPath()
    certificate: OptionalPath = OptionalPath()
    key: OptionalPath = OptionalPath()

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Check the files again: what was right when this was made may have been replaced.

        Raises:
            TlsError: see the class.
        """
        if (self.certificate is None) != (self.key is None):
            given, other = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise TlsError(f"TLS: a {given} without its {other}; give both (`siftfunnel certs` makes them)")
        if self.ca is None and self.certificate is None:
            raise TlsError("TLS: give an authority (ca), a certificate with its key, or all three")
        if self.ca is not None:
            _check_authorities(self.ca)
        if self.certificate is not None and self.key is not None:
            _check_pair(self.certificate, self.key)

    def channel_credentials(self) -> "grpc.ChannelCredentials":
        """Credentials for a client: checks the server against `ca`, shows its own certificate if it has one.

        Without `ca` the authorities that ship with grpc are trusted. The files are read and checked anew, so
        that who calls this for every connection follows a renewal.

        Raises:
            TlsError: the files cannot be used at this moment.
        """
        import grpc

        self.check()
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes(self.ca),
            private_key=_bytes(self.key),
            certificate_chain=_bytes(self.certificate),
        )

    def server_credentials(self) -> "grpc.ServerCredentials":
        """Credentials for a server; with a `ca`, clients without a certificate of it are turned away.

        Files that are replaced are used for every connection that opens from then on. Ones that do not work
        are left alone, with a line in the log, and the last ones that did stay in use.

        Raises:
            TlsError: no certificate.
        """
        import grpc

        if self.certificate is None or self.key is None:
            raise TlsError("TLS: a server needs a certificate and a key (`siftfunnel certs` makes them)")
        renewal = _Renewal(self)
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), renewal, require_client_authentication=self.ca is not None
        )

    def untimely(self, now: datetime | None = None) -> Iterator[str]:
        """What is wrong with the certificates' dates: a line for each that has expired or is not valid yet.

        Of authorities one that is valid is enough.

        Args:
            now: the present when left out.
        """
        now = now or datetime.now(UTC)
        own, authorities = (_untimely(path, now) for path in (self.certificate, self.ca))
        yield from filter(None, own)
        if all(authorities):
            yield from filter(None, authorities)

    def _configuration(self) -> "grpc.ServerCertificateConfiguration":
        import grpc

        assert self.certificate is not None
        assert self.key is not None
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=_bytes(self.ca))

    def _versions(self) -> tuple[tuple[int, int, int], ...]:
        """Tells one state of the files from another."""
        states = [os.stat(path) for path in (self.ca, self.certificate, self.key) if path is not None]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


class _Renewal:
    """Asked by gRPC before each handshake, from its threads, for certificates that have changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._versions = files._versions()

    def __call__(self) -> "grpc.ServerCertificateConfiguration | None":
        try:
            versions = self._files._versions()
            if versions == self._versions:
                return None
            self._versions = versions
            # certificate and key are renewed one after the other, and in between do not fit
            self._files.check()
            fresh = self._files._configuration()
            problems = list(self._files.untimely())
        except (TlsError, OSError) as error:
            _log.error("the renewed certificate is not used: %s", error)
            return None
        for problem in problems:
            _log.warning("%s", problem)
        _log.info("TLS: %s has been renewed", self._files.certificate)
        return fresh


def _untimely(path: Path | None, now: datetime) -> list[str]:
    """A line per certificate of a file, empty where its dates are right; none where they cannot be read."""
    if path is None:
        return []
    try:
        return [_out_of_time(path, now, *dates) for dates in validity(path.read_text(errors="replace"))]
    except ValueError:
        return []


def _out_of_time(path: Path, now: datetime, start: datetime, end: datetime) -> str:
    if now > end:
        return f"TLS: {path}: a certificate expired on {end:%Y-%m-%d %H:%M} UTC; renew it"
    if now < start:
        return f"TLS: {path}: a certificate is valid from {start:%Y-%m-%d %H:%M} UTC on; is the clock right?"
    return ""


def _bytes(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise TlsError(f"TLS: cannot read {path}: {error.strerror}") from None


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise TlsError(f"TLS: cannot read {path}: {error.strerror}") from None


def _check_authorities(path: Path) -> None:
    _require_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"TLS: {path} holds no certificate in PEM form ({error})") from None


def _check_pair(certificate: Path, key: Path) -> None:
    _require_readable(certificate)
    _require_readable(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # an empty passphrase instead of OpenSSL's prompt, which would hang a service
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        if "MISMATCH" in reason:
            raise TlsError(f"TLS: {key} is not the key of {certificate}; take both from one run") from None
        raise TlsError(
            f"TLS: {certificate} and {key} are not a certificate and a plain key in PEM form ({reason})"
        ) from None
