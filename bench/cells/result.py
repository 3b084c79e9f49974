"""What a cell's measurement is: plain values, their JSON, and what makes a value invalid."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from siftfunnel.bench.cells.reading import (
    CellError,
    count,
    nested_or_none,
    non_negative,
    number_or_none,
    one_of,
)
from siftfunnel.shared.json_fields import Fields

SCHEMA = 1

Mode = Literal["edge-only", "cloud-only", "raw-features", "split"]
Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
EmulationName = Literal["tun", "netem", "relay", "none"]

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
    p90_ms: float | None
    p99_ms: float | None
    said: str

    @classmethod
    def read(cls, fields: Fields) -> "EarlyStopping":
        """From JSON."""
        satisfied = fields.take("satisfied")
        if not isinstance(satisfied, bool):
            raise fields.error("satisfied", "must be true or false")
        made = cls(
            satisfied,
            number_or_none(fields, "p90_ms"),
            number_or_none(fields, "p99_ms"),
            fields.string("said"),
        )
        fields.finish()
        return made


@dataclass(frozen=True)
class Latency:
    """Latency of answered queries over all repeats, milliseconds.

    From the moment the device begins with the picture; in Server from the moment the query was scheduled;
    in MultiStream and Offline of a whole query, as LoadGen counts it.

    Attributes:
        mean, p50, p90, p99: Of the sample.
        early_stopping: LoadGen's claim, of the last repeat; None where it makes none.
    """

    mean: float
    p50: float
    p90: float
    p99: float
    early_stopping: EarlyStopping | None = None

    @classmethod
    def read(cls, fields: Fields) -> "Latency":
        """From JSON."""
        mean, p50, p90, p99 = (non_negative(fields, name) for name in ("mean", "p50", "p90", "p99"))
        if not p50 <= p90 <= p99:
            raise fields.error("p90", f"percentiles must not fall, got {p50}, {p90}, {p99}")
        stopping = nested_or_none(fields, "early_stopping")
        fields.finish()
        return cls(mean, p50, p90, p99, None if stopping is None else EarlyStopping.read(stopping))


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

    wait: float | None
    capture: float | None
    edge: float | None
    encode: float | None
    wire: float | None
    queue: float | None
    decode: float | None
    cloud: float | None
    return_: float | None

    def total_ms(self) -> float:
        """Sum of what there is."""
        return float(sum(value for value in asdict(self).values() if value is not None))

    def to_json(self) -> dict[str, float | None]:
        """JSON values under the stages' names."""
        return dict(zip(STAGES, asdict(self).values(), strict=True))

    @classmethod
    def read(cls, fields: Fields) -> "Stages":
        """From JSON."""
        made = cls(*(number_or_none(fields, name) for name in STAGES))
        fields.finish()
        return made


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

    payload: float | None
    message: float | None
    tcp: float | None
    link: float | None

    @classmethod
    def read(cls, fields: Fields) -> "LayerBytes":
        """From JSON."""
        made = cls(*(number_or_none(fields, name) for name in LAYERS))
        fields.finish()
        return made


@dataclass(frozen=True)
class Repeat:
    """One run of a cell; latencies in milliseconds."""

    frames_per_s: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def read(cls, fields: Fields) -> "Repeat":
        """From JSON."""
        made = cls(*(non_negative(fields, name) for name in ("frames_per_s", "p50", "p90", "p99")))
        fields.finish()
        return made


@dataclass(frozen=True)
class Cell:
    """One measured cell.

    Attributes:
        bundle: Name of the bundle.
        digest: Its digest.
        defence: Of the bundle.
        mode: Who runs what.
        codec: The bundle's codec; "jpeg-75", "webp-75" and the like in cloud-only; "" in edge-only.
        link: `LinkProfile` as JSON values.
        emulation: Who kept the link.
        calibration: `siftfunnel.bench.links.probe.Calibration` as JSON; None without a link or unmeasured.
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
        bytes_up, bytes_down: Per measured frame.
        correct: Answers that named the label.
        judged: Answers to pictures whose label is known.
        errors: Frames without an answer, by code.
        frames_resent: Sent more than once.
        late: Queries above the scenario's latency limit; None without a limit.
        per_repeat: One entry per run.
    """

    bundle: str
    digest: str
    defence: str
    mode: Mode
    codec: str
    link: dict[str, Any]
    emulation: EmulationName
    calibration: dict[str, Any] | None
    scenario: Scenario
    settings: dict[str, Any]
    frames: int
    warm_up_frames: int
    repeats: int
    latency_ms: Latency
    frames_per_s: float
    target_frames_per_s: float | None
    overloaded: bool
    stages_ms: Stages
    stage_residual: float
    bytes_up: LayerBytes
    bytes_down: LayerBytes
    correct: int
    judged: int
    errors: dict[str, int]
    frames_resent: int
    late: int | None
    per_repeat: tuple[Repeat, ...]

    def __post_init__(self) -> None:
        if (self.codec == "") != (self.mode == "edge-only"):
            raise CellError(f"a cell of mode {self.mode} cannot have the codec {self.codec!r}")
        if not self.correct <= self.judged <= self.frames:
            raise CellError(
                f"correct <= judged <= frames does not hold: {self.correct}, {self.judged}, {self.frames}"
            )
        if self.repeats != len(self.per_repeat) or self.repeats < 1:
            raise CellError(f"{self.repeats} repeats but {len(self.per_repeat)} entries per repeat")

    @property
    def accuracy(self) -> float | None:
        """Share of judged answers that named the label; None where no label is known."""
        return self.correct / self.judged if self.judged else None

    def to_json(self) -> dict[str, Any]:
        """JSON values, in the file's order."""
        made = asdict(self)
        up, down = made.pop("bytes_up"), made.pop("bytes_down")
        return made | {
            "stages_ms": self.stages_ms.to_json(),
            "bytes": {"up": up, "down": down},
            "accuracy": self.accuracy,
            "per_repeat": [asdict(repeat) for repeat in self.per_repeat],
        }

    @classmethod
    def from_json(cls, value: object, place: str = "cell") -> "Cell":
        """Read JSON values.

        Raises:
            CellError: a field that is missing, unknown, ill-typed or out of range; the text names it.
        """
        if not isinstance(value, dict):
            raise CellError(f"{place}: expected a JSON object")
        try:
            return _read_cell(Fields(value, place))
        except CellError:
            raise
        except ValueError as error:
            raise CellError(str(error)) from None


def _read_cell(fields: Fields) -> Cell:
    octets = fields.nested("bytes")
    up, down = LayerBytes.read(octets.nested("up")), LayerBytes.read(octets.nested("down"))
    octets.finish()
    overloaded, late = fields.take("overloaded"), fields.take("late")
    if not isinstance(overloaded, bool):
        raise fields.error("overloaded", "must be true or false")
    if late is not None and (not isinstance(late, int) or late < 0):
        raise fields.error("late", "must be a count or null")
    calibration = fields.take("calibration")
    if calibration is not None and not isinstance(calibration, dict):
        raise fields.error("calibration", "must be an object or null")
    errors = fields.mapping("errors")
    if not all(isinstance(number, int) and number > 0 for number in errors.values()):
        raise fields.error("errors", "must map codes to counts above 0")
    fields.take("accuracy")
    cell = Cell(
        bundle=fields.text("bundle"),
        digest=fields.text("digest"),
        defence=fields.text("defence"),
        mode=one_of(fields, "mode", MODES),
        codec=fields.string("codec"),
        link=fields.mapping("link"),
        emulation=one_of(fields, "emulation", cast("tuple[EmulationName, ...]", get_args(EmulationName))),
        calibration=calibration,
        scenario=one_of(fields, "scenario", SCENARIOS),
        settings=fields.mapping("settings"),
        frames=count(fields, "frames"),
        warm_up_frames=count(fields, "warm_up_frames"),
        repeats=count(fields, "repeats"),
        latency_ms=Latency.read(fields.nested("latency_ms")),
        frames_per_s=non_negative(fields, "frames_per_s"),
        target_frames_per_s=number_or_none(fields, "target_frames_per_s"),
        overloaded=overloaded,
        stages_ms=Stages.read(fields.nested("stages_ms")),
        stage_residual=non_negative(fields, "stage_residual"),
        bytes_up=up,
        bytes_down=down,
        correct=count(fields, "correct"),
        judged=count(fields, "judged"),
        errors=errors,
        frames_resent=count(fields, "frames_resent"),
        late=late,
        per_repeat=tuple(Repeat.read(each) for each in fields.nested_list("per_repeat")),
    )
    fields.finish()
    return cell


@dataclass(frozen=True)
class Skipped:
    """A cell that was not measured.

    Attributes:
        cell: What it would have been: bundle, mode, codec, link's name, scenario.
        why: In words.
    """

    cell: dict[str, Any]
    why: str


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

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "schema": SCHEMA,
            "provenance": self.provenance,
            "cells": [cell.to_json() for cell in self.cells],
            "skipped": [asdict(each) for each in self.skipped],
        }

    @classmethod
    def from_json(cls, value: object, place: str = "bench run") -> "CellFile":
        """Read JSON values.

        Raises:
            CellError: another schema, or anything invalid; the text names the field.
        """
        if not isinstance(value, dict):
            raise CellError(f"{place}: expected a JSON object")
        fields = Fields(value, place)
        try:
            fields.integer("schema", SCHEMA, SCHEMA)
            cells = [
                Cell.from_json(each, f"{place}: cells[{number}]")
                for number, each in enumerate(fields.items("cells"))
            ]
            skipped = [
                Skipped(each.mapping("cell"), each.text("why")) for each in fields.nested_list("skipped")
            ]
            made = cls(fields.mapping("provenance"), cells, skipped)
            fields.finish()
        except CellError:
            raise
        except ValueError as error:
            raise CellError(str(error)) from None
        return made
