"""What stands between the device and a connection, by what gRPC or TLS said, and what to do about it."""

import time
from dataclasses import dataclass

from siftfunnel.edge_client.errors import NO_DESCRIPTORS, ServerUnreachable, TlsFailure

ASKED_SHOWN_NONE = "asks for a client certificate, is shown none and hangs up"
ASKED_SHOWN_ONE = "asks for a client certificate, is shown this device's and hangs up"


@dataclass(frozen=True)
class Trouble:
    """A reason why there is no connection.

    Attributes:
        sign: what its text holds.
        meaning: what is wrong and what to do; {now} stands for the device's clock.
        final: trying again does not help.
        kind: the error that tells it.
    """

    sign: str
    meaning: str
    final: bool = False
    kind: type[ServerUnreachable] = TlsFailure

    def error(self, server: str, said: str) -> ServerUnreachable:
        """The error to raise.

        Args:
            server: the address dialled.
            said: what gRPC or TLS said.
        """
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        return self.kind(f"no connection to {server}: {self.meaning.format(now=now)} ({said})")


_OWN_CERTIFICATE = "the server does not accept this device's certificate (--tls-cert): "
_NO_SUCH_NAME = "nobody knows the name; check it and the network"

TROUBLES = (
    Trouble(
        "Too many open files",
        NO_DESCRIPTORS,
        kind=ServerUnreachable,
    ),
    Trouble(
        "certificate is not yet valid",
        "the server's certificate is not valid yet by this device's clock, which says {now}; set the clock",
    ),
    Trouble(
        "certificate has expired",
        "the server's certificate has expired by this device's clock, which says {now}; renew it, "
        "or set the clock",
        final=True,
    ),
    Trouble(
        "Hostname Verification",
        "the server's certificate is for another name; dial a name in it, or give that name (--tls-name)",
        final=True,
    ),
    Trouble(
        "CERTIFICATE_VERIFY_FAILED",
        "no trusted authority has signed the server's certificate; give the one that has (--tls-ca)",
        final=True,
    ),
    Trouble("WRONG_VERSION_NUMBER", "no TLS is spoken there; leave out --tls and --tls-ca", final=True),
    Trouble(
        ASKED_SHOWN_NONE,
        "the server wants a client certificate (mutual TLS); give --tls-cert and --tls-key",
        final=True,
    ),
    Trouble(
        "ALERT_CERTIFICATE_REQUIRED",
        "the server wants a client certificate (mutual TLS); give --tls-cert and --tls-key",
        final=True,
    ),
    Trouble("ALERT_UNKNOWN_CA", _OWN_CERTIFICATE + "it does not trust who signed it", final=True),
    Trouble("ALERT_CERTIFICATE_EXPIRED", _OWN_CERTIFICATE + "it has expired; renew it", final=True),
    Trouble("ALERT_CERTIFICATE_REVOKED", _OWN_CERTIFICATE + "it is revoked; get another one", final=True),
    # a server whose clock is behind says no more than this about a certificate that is not valid yet
    Trouble("ALERT_BAD_CERTIFICATE", _OWN_CERTIFICATE + "take one that it trusts and that is valid now"),
    # a proxy in front of a server that is still starting hangs up too
    Trouble(ASKED_SHOWN_ONE, _OWN_CERTIFICATE + "it must be signed by an authority that the server trusts"),
    Trouble("_ALERT_", "the server breaks the TLS handshake off; look at its TLS settings"),
    Trouble("TLS: ", "the certificate files of this device cannot be used at the moment"),
    Trouble("DNS resolution failed", _NO_SUCH_NAME, kind=ServerUnreachable),
    # what newer versions of gRPC say
    Trouble("lookup error", _NO_SUCH_NAME, kind=ServerUnreachable),
)
"""The first one whose sign the text holds counts."""


def trouble_of(said: str) -> Trouble | None:
    """What a text of gRPC or TLS means; None where it says nothing of its own."""
    return next((trouble for trouble in TROUBLES if trouble.sign in said), None)
