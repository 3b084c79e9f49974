"""What becomes of a frame: exactly one of these for every frame handed in."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from siftfunnel.edge_client.errors import OutputError
from siftfunnel.edge_client.tensors import Outputs
from siftfunnel.shared.placement import Transform


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class and its probability.

    Attributes:
        name: for people; two classes may share one.
        score: in [0, 1].
        id: what tells it apart from the others; the name where the bundle has no ids.
    """

    name: str
    score: float
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", self.name)


@dataclass(frozen=True, slots=True)
class ServerTimings:
    """Where the time went on the server, microseconds, and how many frames shared the batch."""

    queue_us: int
    decode_us: int
    compute_us: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's prediction for one frame.

    Attributes:
        sequence: the frame's number, unique in this client.
        source: where the picture came from, for people.
        label: what the source says it shows, None where it says nothing.
        top: best classes, best first; none where the bundle has no classes.
        edge_ms: preprocessing, edge half and encoding, milliseconds.
        round_trip_ms: from the first send to the answer, milliseconds.
        payload_bytes: size of the encoded feature.
        sends: how often the frame was sent; above 1 after a lost connection or a full server.
        bundle: name of the bundle.
        codec: name of the codec.
        server: the server's own timings.
        index: number of the picture in what was handed in, from 0.
        outputs: those that were asked for beside the classes; not looked at when answers are compared.
        transform: from pixels of the model's input to those of the picture, for boxes and points.
    """

    sequence: int
    source: str
    label: str | None
    top: tuple[ClassScore, ...]
    edge_ms: float
    round_trip_ms: float
    payload_bytes: int
    sends: int
    bundle: str
    codec: str
    server: ServerTimings
    index: int = 0
    outputs: Outputs = field(default_factory=Outputs, compare=False)
    transform: Transform | None = None

    @property
    def class_name(self) -> str:
        """The best class."""
        return self._best.name

    @property
    def score(self) -> float:
        """The best class's probability, in [0, 1]."""
        return self._best.score

    @property
    def embedding(self) -> NDArray[Any]:
        """The one output that is an embedding; see `Outputs.embedding`."""
        return self.outputs.embedding

    @property
    def right(self) -> bool | None:
        """Whether the best class is the label, by name or id; None without a label or without classes."""
        if self.label is None or not self.top:
            return None
        return self.label in (self.top[0].name, self.top[0].id)

    @property
    def _best(self) -> ClassScore:
        if not self.top:
            raise OutputError("this bundle has no classes; its answers are in `outputs`")
        return self.top[0]


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """Why one frame got no prediction; the stream goes on.

    Attributes:
        sequence: the frame's number; None for a picture that did not decode and so never became a frame.
        source: where the picture came from.
        label: what the source says it shows.
        code: a code of the wire's FrameError, or one of the client's own below.
        message: what failed and what to do.
        edge_ms: as in `Answer`; None where the frame was not encoded.
        round_trip_ms: from first send to the error; None where it was never sent.
        payload_bytes: None where the frame was not encoded.
        sends: how often the frame was sent.
        bundle: name of the bundle.
        codec: name of the codec.
        index: as in `Answer`.
    """

    sequence: int | None
    source: str
    label: str | None
    code: str
    message: str
    edge_ms: float | None = None
    round_trip_ms: float | None = None
    payload_bytes: int | None = None
    sends: int = 0
    bundle: str = ""
    codec: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Superseded:
    """A live frame that a newer one overtook before it was encoded; never sent."""

    sequence: int
    source: str
    label: str | None
    bundle: str = ""
    codec: str = ""
    index: int = 0


Outcome = Answer | FrameFailure | Superseded

IMAGE = "IMAGE"  # the picture does not decode
ENCODE = "ENCODE"  # the codec refuses the feature (not finite)
MODEL = "MODEL"  # the edge half fails on the picture
BUDGET_EXCEEDED = "BUDGET_EXCEEDED"  # also the wire's: the budget ran out before the answer was there
UNREACHABLE = "UNREACHABLE"  # the server stayed away until the client gave up
REFUSED = "REFUSED"  # the server ended the stream for good
CANCELLED = "CANCELLED"  # the caller stopped before the answer came
BAD_REPLY = "BAD_REPLY"  # the reply breaks the contract
DAMAGED = "DAMAGED"  # the frame's replies come damaged, or answer another payload
NO_REPLY = "NO_REPLY"  # the server answers later frames and not this one
DEVICE = "DEVICE"  # the device has no file descriptor left
INTERNAL = "INTERNAL"  # also the wire's: something unexpected failed, here or there
REJECTED = "REJECTED"  # the server ends the call whenever this frame is sent
