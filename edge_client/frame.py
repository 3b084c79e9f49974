"""One encoded frame on its way, and what has happened to it so far."""

from dataclasses import dataclass

from siftfunnel.shared.placement import Transform


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A frame as it was handed in.

    Attributes:
        sequence: unique in this client.
        source: where the picture came from.
        label: what it shows, or None.
        payload: the encoded feature.
        edge_ms: what preparing it took.
        deadline_s: the caller's clock at which an answer is of no use any more, or None.
        index: number of the picture in its source, from 0.
        transform: from pixels of the model's input to those of the picture.
    """

    sequence: int
    source: str
    label: str | None
    payload: bytes
    edge_ms: float = 0.0
    deadline_s: float | None = None
    index: int = 0
    transform: Transform | None = None


@dataclass(slots=True)
class Held:
    """A frame that is not settled yet.

    Attributes:
        frame: as it was handed in.
        sends: how often it was sent.
        refusals: how often a full server refused it.
        suspicions: how often a call ended with it alone in flight.
        losses: how often its reply did not come, or came damaged, while others came.
        first_sent_s: when it was sent first.
        not_before_s: when it may be sent again.
    """

    frame: EncodedFrame
    sends: int = 0
    refusals: int = 0
    suspicions: int = 0
    losses: int = 0
    first_sent_s: float | None = None
    not_before_s: float = 0.0
