"""What a device is told, as frozen values that are checked when made; the fields are the flags."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES, read_choice
from siftfunnel.shared.files import require_place
from siftfunnel.shared.hosts import PREVIEW_TOKEN_VARIABLE, is_host_name, is_loopback
from siftfunnel.shared.padding import Padding
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import check, setting


@dataclass(frozen=True)
class WindowPolicy:
    """Limits of one stream.

    Raises:
        TypeError: something else than a number.
        ValueError: a limit below 1 or a time not above 0.
    """

    limit: int = setting(
        32, "frames held unanswered at most, so also the memory bound", flag="--window", least=1
    )
    refusals_max: int = setting(
        10, "how often a full server may refuse one frame before that is its outcome", flag="", least=1
    )
    suspicions_max: int = setting(
        2, "how often the call may end with this frame alone in flight", flag="", least=1
    )
    losses_max: int = setting(
        3, "how often one frame's reply may be damaged, or missing while others come", flag="", least=1
    )
    strays_max: int = setting(
        1000,
        "replies to nothing that was sent, with none to something that was, before the connection is dropped",
        flag="",
        least=1,
    )
    reply_timeout_s: float = setting(
        60.0, "a server that answers nothing for this long, with frames in flight, is dialled again", above=0
    )
    passed_over_s: float = setting(
        5.0,
        "how long a frame waits for its reply after a later one had its own, where that is less than "
        "`reply_timeout_s`",
        flag="",
        above=0,
    )
    retry_floor_ms: float = setting(
        10.0, "the first wait after a refusal that gives no hint; doubles each time", flag="", above=0
    )
    retry_ceiling_ms: float = setting(
        5_000.0,
        "the longest wait between two tries of one frame, whatever the server's hint",
        flag="",
        above=0,
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ReconnectPolicy:
    """How a lost server is dialled again.

    Raises:
        TypeError: something else than a number.
        ValueError: a value out of range.
    """

    initial_ms: float = setting(100.0, "longest wait before the first retry", flag="", above=0)
    factor: float = setting(2.0, "growth of that wait per failed attempt", flag="", least=1)
    ceiling_ms: float = setting(5_000.0, "longest wait between two attempts", flag="")
    connect_timeout_s: float = setting(
        30.0, "give up after this long without a server, since its last answer", least=0
    )
    stalls_max: int = setting(
        2, "connections in a row, per server, on which a server stops replying", flag="", least=1
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.ceiling_ms >= self.initial_ms:
            raise ValueError(f"ceiling_ms must be at least initial_ms: {self}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(read_choice(text))


def _sequence(text: str) -> int:
    return time.time_ns() // 1000 if text == "clock" else int(text)


@dataclass(frozen=True)
class ClientSettings:
    """Everything a client can be told beside bundle, server and codec.

    Attributes:
        window: limits of a stream.
        reconnect: how a lost server is dialled again.

    Raises:
        ValueError: a value out of range.
        TypeError: something else than a number.
    """

    top_k: int = setting(1, "classes per answer, best first", metavar="K", least=1)
    outputs: tuple[str, ...] | None = setting(
        None,
        "outputs of the network that answers carry, such as an embedding or boxes; '' for none "
        "(default: all that are not the classes' scores)",
        metavar="NAME,...",
        read=_names,
    )
    max_output_bytes: int = setting(
        MAX_OUTPUT_BYTES,
        "what they may take together in one answer; a larger one is an error",
        least=1,
        most=2**30,
    )
    budget_ms: int | None = setting(
        None,
        "how long after its picture was read an answer is of use; then the frame fails with BUDGET_EXCEEDED, "
        "wherever it is, and an answer that still comes is none (default: for ever)",
        metavar="MS",
        least=1,
        most=2**31 - 1,
    )
    first_sequence: int = setting(
        0,
        "number of the first frame; clock: microseconds since 1970, so that a device that starts again "
        "uses no number twice",
        metavar="N|clock",
        read=_sequence,
        least=0,
        most=2**63 - 1,
    )
    pad: Padding | None = setting(
        None,
        "over TLS, make each frame's message as long as others, and have the server pad its replies: to "
        "multiples of so many bytes, or padme, at most 12 % more (default: as long as they are)",
        metavar="BYTES|padme",
    )
    threads: int = setting(1, "threads of the edge half")
    frames_per_message: int = setting(
        1,
        "bulk work: up to N frames in one message, half of --window at most: fewer messages, but frames wait "
        "for company; live sources send one",
        least=1,
    )
    window: WindowPolicy = field(default_factory=WindowPolicy)
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)

    def __post_init__(self) -> None:
        check(self)
        if self.outputs is not None:
            object.__setattr__(self, "outputs", _several_names(self.outputs))


def _several_names(outputs: object) -> tuple[str, ...]:
    names = tuple(outputs) if isinstance(outputs, Iterable) and not isinstance(outputs, str) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"outputs takes several names, such as ['boxes'], not {outputs!r}")
    return names


@dataclass(frozen=True)
class SourceChoice:
    """What to read, and how.

    Attributes:
        demo_pictures: what "demo" means here; None where nothing is shipped.

    Raises:
        ValueError: a combination or value that makes no sense.
    """

    place: str = setting(
        help="a directory, a picture, a video file or URL, camera:N, demo (the shipped pictures), "
        "- for paths on standard input, or jsonl:- for pictures there",
        flag="--source",
        metavar="SOURCE",
    )
    watch: bool = setting(False, "go on with new files of the directory")
    shuffle_seed: int | None = setting(
        None, "shuffle the directory by this seed", flag="--shuffle", metavar="SEED"
    )
    frames: int | None = setting(None, "stop after N pictures; a directory with fewer begins again", least=1)
    rate_fps: float | None = setting(None, "pictures per second at most", flag="--rate", metavar="FPS")
    demo_pictures: Path | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.watch and self.shuffle_seed is not None:
            raise ValueError(
                "--watch takes files as they come and cannot --shuffle them; drop one of the two"
            )


@dataclass(frozen=True)
class RunConfig:
    """What happens around the stream.

    Raises:
        ValueError: no patience, or no place for the figures.
    """

    summary: Path | None = setting(None, "write the run's figures as JSON")
    quiet: bool = setting(False, "no line of figures at the end")
    ready_line: bool = setting(False, "one line of JSON on standard error when ready")
    grace_s: float = setting(
        5.0, "patience of a stop with answers that are under way", flag="--drain-seconds", least=0
    )

    def __post_init__(self) -> None:
        check(self)
        require_place(self.summary, "--summary")


@dataclass(frozen=True)
class PreviewConfig:
    """Where the preview is served and how much it remembers.

    Attributes:
        address: port 0 takes a free one.
        token: what a reader must show; None where nobody must.
        memory_bytes: pixels kept.
        linger_s: how long `close` waits for a reader to fetch the last frames, seconds.

    Raises:
        ValueError: a host beyond this machine without `anywhere`, or a name that is none.
    """

    address: Endpoint
    anywhere: bool = setting(
        False,
        "allow addresses that other machines reach, for readers who show a token: the one in the environment "
        f"variable {PREVIEW_TOKEN_VARIABLE}, else one that is drawn and told",
        flag="--preview-anywhere",
    )
    anyone: bool = setting(
        False,
        "ask no token there: something else keeps strangers from that address",
        flag="--preview-anyone",
    )
    names: tuple[str, ...] = setting(
        (),
        "answer to this host name too, beside loopback and, with --preview-anywhere, addresses; repeatable",
        flag="--preview-name",
    )
    token: str | None = field(default=None, repr=False)
    memory_bytes: int = 8_000_000
    linger_s: float = 2.5

    def __post_init__(self) -> None:
        if not is_loopback(self.address.host) and not self.anywhere:
            raise ValueError(
                f"--preview {self.address} would show private pictures to other machines; use 127.0.0.1, "
                "or say --preview-anywhere if that is meant"
            )
        for name in self.names:
            if not is_host_name(name):
                raise ValueError(f"--preview-name must be a host's name without a port, not {name!r}")
