"""One frame on its way through the server, and who waits for it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.padding import pad_reply
from siftfunnel.shared.reply_seal import seal


class Owner(Protocol):
    """Who waits for a ticket: a stream or a unary call.

    Attributes:
        client: whose call it is; clients take turns.
    """

    client: Hashable

    def __hash__(self) -> int:
        """By identity."""

    def wake(self) -> None:
        """Look at the tickets again; called on the event loop."""


class Wish(NamedTuple):
    """What a call wants to know of its frames.

    Attributes:
        top_k: classes, at least 1.
        outputs: positions in the manifest's outputs.
    """

    top_k: int = 1
    outputs: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Ticket:
    """One frame on its way through the server.

    Attributes:
        owner: who waits for it.
        sequence: the client's number.
        codec: index into the bundle's codecs, not yet checked.
        payload: what the codec wrote; emptied when decoded.
        wish: what its call wants to know.
        received_s: when it was read, by the lane's clock.
        seal_begun: what `ReplySeal.begin` made of the payload.
        held_bytes: what it may make the server hold until its reply is taken.
        padded: whether the reply is to be padded.
        ahead: what its payload decoded to, where that was done while it waited.
        reply: the serialised `Reply`, once there is one; set once, from any thread.
    """

    owner: Owner
    sequence: int
    codec: int
    payload: bytes
    wish: Wish
    received_s: float
    seal_begun: int
    held_bytes: int = 0
    padded: bool = False
    ahead: "Ahead | None" = None
    reply: bytes | None = None

    def sealed(self) -> bytes | None:
        """The reply with its checksum, once there is one."""
        if self.reply is None:
            return None
        return seal(self.seal_begun, pad_reply(self.reply) if self.padded else self.reply)


class Ahead(NamedTuple):
    """A payload's tensor, or why there is none, and how long that took."""

    features_CHW: NDArray[np.float32] | Exception
    decode_s: float
