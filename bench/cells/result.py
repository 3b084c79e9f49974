"""What a cell's measurement is: plain values, their JSON, and what makes a value invalid."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from annotated_types import Ge, Gt, Interval, MinLen

from siftfunnel.bench.links.probe import Calibration
from siftfunnel.bench.links.profiles import Emulation, LinkProfile
from siftfunnel.bench.stored import as_json, read

SCHEMA = 1

Mode = Literal["edge-only", "cloud-only", "raw-features", "split"]
Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]

Text = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(0)]
Amount = Annotated[float, Ge(0)]

MODES = cast("tuple[Mode, ...]", get_args(Mode))
SCENARIOS = cast("tuple[Scenario, ...]", get_args(Scenario))
STAGES = ("wait", "capture", "edge", "encode", "wire", "queue", "decode", "cloud", "return")
LAYERS = ("payload", "message", "tcp", "link")


@dataclass(frozen=True)
class EarlyStopping:
    """What LoadGen's early-stopping rule says of a run.

    The rule: a percentile may be claimed from a short run if, with 99 % confidence, the true one is not
    above the claim. Its estimate is therefore at or above the plain percentile of the sample.

    Attributes:
        satisfied: Whether the run had enough queries for the rule.
        p90_ms: Its estimate of the 90th percentile; None where the run is too short or has no such claim.
        p99_ms: Likewise of the 99th.
        said: LoadGen's own words.
    """

    satisfied: bool
    p90_ms: Amount | None
    p99_ms: Amount | None
    said: str


@dataclass(frozen=True)
class Latency:
    """Latency of answered queries over all repeats, milliseconds.

    From the moment the device begins with the picture; in Server from the moment the query was scheduled;
    in MultiStream and Offline of a whole query, as LoadGen counts it.

    Attributes:
        mean, p50, p90, p99: Of the sample.
        early_stopping: LoadGen's claim, of the last repeat; None where it makes none.
    """

    mean: Amount
    p50: Amount
    p90: Amount
    p99: Amount
    early_stopping: EarlyStopping | None = None

    def __post_init__(self) -> None:
        if not self.p50 <= self.p90 <= self.p99:
            raise ValueError(
                f"percentiles p50, p90, p99 must not fall, got {self.p50}, {self.p90}, {self.p99}"
            )


@dataclass(frozen=True)
class Stages:
    """Where a frame's time went, means in milliseconds; None for a stage that this mode has not.

    Attributes:
        wait: On the device, from the query's arrival until work on this frame begins: frames before it, a
            full window. Next to nothing in SingleStream.
        capture: Picture file in memory to pixels of the model's size.
        edge: Normalisation and the device's half (all of the network in edge-only).
        encode: Feature to payload; in cloud-only pixels to JPEG or WebP.
        wire: From the device's encoder to the server's handler: client, link and both gRPC stacks.
        queue: In the server until a batch took the frame.
        decode: Payload to tensor.
        cloud: The batch's run of the cloud half.
        return_: From there to the device's hands.
    """

    wait: Amount | None
    capture: Amount | None
    edge: Amount | None
    encode: Amount | None
    wire: Amount | None
    queue: Amount | None
    decode: Amount | None
    cloud: Amount | None
    return_: Amount | None

    def total_ms(self) -> float:
        """Sum of what there is."""
        return float(sum(value for value in astuple(self) if value is not None))


@dataclass(frozen=True)
class LayerBytes:
    """Bytes per frame in one direction; None where that layer was not measured.

    Attributes:
        payload: What the codec wrote; downwards the serialised answer.
        message: Protobuf, gRPC and HTTP/2 around it: bytes of the TCP stream, acknowledgements of HTTP/2
            included, the opening of the connection spread over the run's frames.
        tcp: Segments with their TCP and IP headers, those without data included.
        link: All that was handed to the link, repetitions and lost packets included.
    """

    payload: Amount | None
    message: Amount | None
    tcp: Amount | None
    link: Amount | None

    @property
    def carried(self) -> float:
        """Bytes that the TCP stream carries; the payload's where messages were not counted; 0 for none."""
        return self.message if self.message is not None else self.payload or 0.0


PartsT = TypeVar("PartsT", Stages, LayerBytes)


def joined(parts: Sequence[PartsT], join: Callable[[list[float]], Any]) -> PartsT:
    """One of several, field by field; None for a field that one of them has not.

    Example:
        >>> joined([LayerBytes(1.0, 2.0, None, 4.0), LayerBytes(3.0, 5.0, 6.0, None)], sum)
        LayerBytes(payload=4.0, message=7.0, tcp=None, link=None)
    """
    fields = zip(*(astuple(part) for part in parts), strict=True)
    return type(parts[0])(*(None if None in values else float(join(list(values))) for values in fields))


@dataclass(frozen=True)
class BothWays:
    """From device to cloud, and back."""

    up: LayerBytes
    down: LayerBytes


@dataclass(frozen=True)
class Repeat:
    """One run of a cell; latencies in milliseconds."""

    frames_per_s: Amount
    p50: Amount
    p90: Amount
    p99: Amount


@dataclass(frozen=True)
class Cell:
    """One measured cell.

    Attributes:
        bundle: Name of the bundle.
        digest: Its digest.
        defence: Of the bundle.
        mode: Who runs what.
        codec: The bundle's codec; "jpeg-75", "webp-75" and the like in cloud-only; "" in edge-only.
        link: As asked for.
        emulation: Who kept the link.
        calibration: The link as measured; None without a link or unmeasured.
        scenario: Of MLPerf.
        settings: What the run was told: seconds, frames per query, limits, how wire and return were split.
        frames: Measured, over all repeats.
        warm_up_frames: Sent before and dropped, over all repeats.
        repeats: Runs.
        latency_ms: Of queries.
        frames_per_s: Answered frames per second of the measured time.
        target_frames_per_s: Server's arrivals; None elsewhere.
        overloaded: Whether arrivals came faster than answers: the figures are those of an overload.
        stages_ms: Means over answered frames.
        stage_residual: Mean of |end to end - sum of stages| / end to end, a share.
        correct: Answers that named the label.
        judged: Answers to pictures whose label is known.
        errors: Frames without an answer, by code.
        frames_resent: Sent more than once.
        late: Queries above the scenario's latency limit; None without a limit.
        per_repeat: One entry per run.
        bytes: Per measured frame.
    """

    bundle: Text
    digest: Text
    defence: Text
    mode: Mode
    codec: str
    link: LinkProfile
    emulation: Emulation
    calibration: Calibration | None
    scenario: Scenario
    settings: dict[str, Any]
    frames: Count
    warm_up_frames: Count
    repeats: Count
    latency_ms: Latency
    frames_per_s: Amount
    target_frames_per_s: Amount | None
    overloaded: bool
    stages_ms: Stages
    stage_residual: Amount
    correct: Count
    judged: Count
    errors: dict[str, Annotated[int, Gt(0)]]
    frames_resent: Count
    late: Count | None
    per_repeat: tuple[Repeat, ...]
    bytes: BothWays

    def __post_init__(self) -> None:
        if (self.codec == "") != (self.mode == "edge-only"):
            raise ValueError(f"a cell of mode {self.mode} cannot have the codec {self.codec!r}")
        if not self.correct <= self.judged <= self.frames:
            raise ValueError(
                f"correct <= judged <= frames does not hold: {self.correct}, {self.judged}, {self.frames}"
            )
        if self.repeats != len(self.per_repeat) or self.repeats < 1:
            raise ValueError(f"{self.repeats} repeats but {len(self.per_repeat)} entries per repeat")

    @property
    def accuracy(self) -> float | None:
        """Share of judged answers that named the label; None where no label is known."""
        return self.correct / self.judged if self.judged else None

    def to_json(self) -> dict[str, Any]:
        """JSON values; the accuracy is written with them for other readers."""
        return as_json(self) | {"accuracy": self.accuracy}

    @property
    def asked(self) -> dict[str, Any]:
        """What besides bundle, mode, codec and link it was asked for, as `PlannedCell.asked` tells."""
        return dict(self.settings.get("asked") or {})


@dataclass(frozen=True)
class Skipped:
    """A cell that was not measured.

    Attributes:
        cell: What it would have been: bundle, mode, codec, link's name, scenario.
        why: In words.
    """

    cell: dict[str, Any]
    why: Text


@dataclass
class CellFile:
    """All of one `bench run`: what is written after every cell.

    Attributes:
        provenance: Code, versions and machine.
        cells: Measured.
        skipped: Not measured.
    """

    provenance: dict[str, Any]
    cells: list[Cell] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    schema: Annotated[int, Interval(ge=SCHEMA, le=SCHEMA)] = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return as_json(self) | {"cells": [cell.to_json() for cell in self.cells]}

    @classmethod
    def from_json(cls, value: dict[str, Any], place: str = "bench run") -> "CellFile":
        """Read JSON values.

        Raises:
            StoredError: another schema, or anything invalid; the text names the field.
        """
        cells = value.get("cells")
        if isinstance(cells, list):
            # what follows from the rest is not read
            value = value | {"cells": [_without_accuracy(cell) for cell in cells]}
        return read(cls, value, place)


def _without_accuracy(cell: object) -> object:
    return {key: cell[key] for key in cell if key != "accuracy"} if isinstance(cell, dict) else cell
