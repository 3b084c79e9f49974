"""Who makes a call, and what it may do: by its token, by its certificate, else by its address.

call -> Door.who -> Refusal, or Caller: a name or an address, its rights, its allowance
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc

from siftfunnel.cloud_server.allowance import Allowance
from siftfunnel.cloud_server.ceilings import Ceilings, client_of, peer_of
from siftfunnel.shared.access import AUTHORIZATION_KEY, Client, ClientLimits, Clients, Right, token_in

Call = Any
"""A `grpc.aio.ServicerContext`, or what stands for it where a call came over HTTP: `peer`,
`add_done_callback`, `invocation_metadata`, and `auth_context` where there is TLS."""

_CERTIFICATE_NAMES = ("x509_common_name", "x509_subject_alternative_name")
_MOST_KNOWN = 4096
_CLIENTS_SHARE = 4
"""One client may hold a quarter of what the server may: one that does not read its answers stops no other."""


class Refusal(NamedTuple):
    """Why a call is not taken.

    Attributes:
        status: with which it ends.
        reason: a word for the metrics.
        message: for people.
    """

    status: grpc.StatusCode
    reason: str
    message: str


@dataclass(frozen=True, eq=False)
class Caller:
    """Who makes a call.

    Attributes:
        call: the call.
        key: whom it is counted for: the client's name, else its address.
        client: what is known of it.
        limits: its own, or everybody's.
        allowance: shared by all calls of the same.
    """

    call: Call
    key: str
    client: Client
    limits: ClientLimits
    allowance: Allowance

    @property
    def peer(self) -> str:
        """Address and port."""
        return peer_of(self.call)


class Door:
    """Knows clients by what they show.

    Args:
        clients: those there are now.
        ceilings: limits of clients that have none of their own, and of the server.
    """

    def __init__(self, clients: Callable[[], Clients], ceilings: Ceilings) -> None:
        self._clients = clients
        self._limits = ceilings.client
        self._held_bytes = ceilings.held_mb * 1e6
        self._of_all: Allowance | None = None
        self._known: dict[str, tuple[ClientLimits, Allowance]] = {}

    @property
    def of_all(self) -> Allowance:
        """What all clients have under way together; made on the event loop."""
        if self._of_all is None:
            self._of_all = Allowance(held_bytes=self._held_bytes)
        return self._of_all

    def who(self, call: Call, right: Right | None) -> Caller | Refusal:
        """Who calls, or why it may not; on the event loop.

        Args:
            call: the call.
            right: what it needs; None: nothing, as a probe of health does.
        """
        client = self.client(call, right)
        if isinstance(client, Refusal):
            return client
        key = client.name or client_of(call)
        limits = client.limited(self._limits)
        return Caller(call, key, client, limits, self._allowance(key, limits))

    def client(self, call: Call, right: Right | None) -> Client | Refusal:
        """Likewise what is known of it alone; from any thread."""
        clients = self._clients()
        # where nobody is known, what is shown is for somebody else: a gateway, or a server that asks for it
        shown = _shown(call) if clients.by_token or clients.by_certificate else None
        client = clients.anyone if shown is None else shown(clients)
        if client is None:
            return Refusal(
                grpc.StatusCode.UNAUTHENTICATED,
                "unknown_client",
                "this token or certificate is not known here",
            )
        if right is not None and right not in client.rights:
            if client.name is None:
                message = f"show who you are: this needs the right to {right}, which not everybody has"
                return Refusal(grpc.StatusCode.UNAUTHENTICATED, "no_token", message)
            message = f"client {client.name} has no right to {right} here"
            return Refusal(grpc.StatusCode.PERMISSION_DENIED, "no_right", message)
        return client

    def still(self, caller: Caller) -> bool:
        """Whether a call would be let in again, on the same terms, after the clients have changed."""
        again = self.who(caller.call, Right.INFER)
        return isinstance(again, Caller) and again.client == caller.client

    def _allowance(self, key: str, limits: ClientLimits) -> Allowance:
        known = self._known.get(key)
        if known is not None and known[0] == limits:
            return known[1]
        if len(self._known) >= _MOST_KNOWN:
            self._known = {each: one for each, one in self._known.items() if not one[1].idle}
        allowance = Allowance(
            limits.frames,
            self._held_bytes / _CLIENTS_SHARE,
            limits.frames_per_second,
            limits.bytes_per_second,
            self.of_all,
        )
        self._known[key] = (limits, allowance)
        return allowance


def _shown(call: Call) -> Callable[[Clients], Client | None] | None:
    """How to find the client that a call shows; None where it shows nothing."""
    for key, value in call.invocation_metadata() or ():
        if key.lower() == AUTHORIZATION_KEY and isinstance(value, str):
            token = token_in(value)
            # another scheme shows nothing that is known here
            return lambda clients: None if token is None else clients.of_token(token)
    told: Mapping[str, Iterable[bytes]] = getattr(call, "auth_context", dict)()
    names = [name.decode(errors="replace") for key in _CERTIFICATE_NAMES for name in told.get(key, ())]
    if not names:
        return None
    # a certificate of the authority that no line names is as good as none: everybody's who got through TLS
    return lambda clients: clients.of_certificate(names) or clients.anyone
