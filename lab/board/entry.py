"""An entry of the board: one small JSON file, its declared fields, and what must be true among them.

Figures are rounded as they are read, so that an entry made twice of the same results is the same bytes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.shared.files import read_regular, write_file

SCHEMA = 1
MANY_FRAMES = 16
MOST_ENTRY_BYTES = 64 * 1024
ROUNDING = 1e-9
BOARD = Path(__file__).resolve().parents[2] / "board"
"""The repository's own board; a package that was installed without the repository has none."""


Kind = TypeVar("Kind", bound=BaseModel)


class BoardError(ValueError):
    """An entry, a claim or a source that cannot be used: says which field and what to do."""


def _rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(float(value), digits))


Decibels = Annotated[float, Field(ge=-20, le=100), _rounded(2)]
Share = Annotated[float, Field(ge=0, le=1), _rounded(4)]
Bytes = Annotated[float, Field(gt=0), _rounded(1)]
Text = Annotated[str, Field(min_length=1, max_length=600)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.@_-]{0,99}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]
Link = Annotated[str, Field(pattern=r"^https://[^\s\"<>]+$", max_length=300)]


class Part(BaseModel):
    """What all parts of an entry are: nothing unknown, nothing converted, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Network(Part):
    """What runs on the device.

    Attributes:
        name: As its authors call it.
        cut: After which part of it the feature leaves the device.
        input: Height and width of a picture in pixels.
        edge_parameters: On the device; None of a picture codec.
        edge_macs: Multiply-adds on the device for one picture.
    """

    name: Text
    cut: Text
    input: tuple[Count, Count]
    edge_parameters: Annotated[int, Field(ge=0)] | None
    edge_macs: Annotated[int, Field(ge=0)] | None


class Answers(Part):
    """How good the answers are: by labels, by the whole network's best class, or by how far outputs move."""

    measure: Literal["accuracy", "agreement", "likeness"]
    value: Share
    ci95: tuple[Share, Share]
    pictures: Count


class Sent(Part):
    """Mean bytes of a frame, and what makes them: a codec's name, or an estimate where there is no codec."""

    mean: Bytes
    codec: Text
    is_estimate: bool


class Leak(Part):
    """What one attack restored.

    Attributes:
        attack: What it is called.
        frames: Observations of each picture that it averages.
        psnr_db: Mean over the attacked pictures.
        psnr_ci95: Its 95 % interval over pictures.
        ssim: Mean.
        retrieval: Share of pictures found again among all attacked ones by what was restored of them.
        identity: Further figures of identity by name, as the suite calls them.
    """

    attack: Text
    frames: Count
    psnr_db: Decibels
    psnr_ci95: tuple[Decibels, Decibels]
    ssim: Annotated[float, Field(ge=-1, le=1), _rounded(3)] | None
    retrieval: Share | None
    identity: dict[Text, Annotated[float, _rounded(4)]]


class Known(Leak):
    """The best known attack: whose it is, where it can be had, and whether somebody else got the same."""

    by: Text
    source: Text
    is_reproduced: bool


class Suite(Part):
    """The attacks, on equal terms for all entries of one name, version and budget.

    Attributes:
        attacks: Names of those that ran.
        attacked: Pictures attacked.
        attacked_sha256: Of their pixels, where the result says it.
        auxiliary: The attacker's own pictures, where there are any.
        heard: What is overheard: a codec's name, or that there is none.
        from_1: The strongest from one frame of each picture.
        from_16: The strongest from up to sixteen, where the device draws noise; else None.
        agreement: How well this budget agrees with the thorough one, where that was measured.
    """

    name: Text
    version: Count
    budget: Text
    attacks: tuple[Text, ...]
    attacked: Count
    attacked_sha256: Digest | None
    auxiliary: Count | None
    heard: Text
    from_1: Leak
    from_16: Leak | None
    agreement: Text | None


class Bound(Part):
    """One statement of a certificate: what no attacker can beat, in dB of the mean MSE (less is stronger).

    Attributes:
        kind: Which theorem.
        says: What is bounded, on which pictures, and what is not said.
        frames: Frames of each picture for which it holds.
        pictures: How many it is about.
        mse_db: No attacker's mean error is smaller than this.
        attack_mse_db: The attack's on the same pictures.
    """

    kind: Text
    says: Text
    frames: Count
    pictures: Count
    mse_db: Decibels | None
    attack_mse_db: Decibels | None


class Flag(Part):
    """What has to be said aloud of a figure."""

    about: Text
    kind: Text
    text: Text


class Origin(Part):
    """Where the figures come from.

    Attributes:
        kind: What was read.
        file: The result in the repository that they follow from, below its root; None where it is not there.
        pick: Which part of that file.
        bundle: The bundle's name, with its digest.
        by: Who made the entry.
        links: Where bundle, code or paper can be had.
    """

    kind: Literal["study", "front", "own-networks", "audit"]
    file: Text | None
    pick: Text | None
    bundle: Text | None
    digest: Digest | None
    by: Text
    licence: Text
    links: tuple[Link, ...]
    commit: Text | None
    processor: Text | None


class Entry(Part):
    """One line of the board."""

    schema_version: Literal[1]
    id: Name
    title: Text
    kind: Literal["bundle", "study", "own-network", "picture-codec"]
    dataset: Text
    network: Network
    defence: Text
    answers: Answers | None
    sent: Sent
    suite: Suite | None
    best_known: Known | None
    best_identity: Known | None
    certificate: tuple[Bound, ...]
    flags: tuple[Flag, ...]
    origin: Origin

    @model_validator(mode="after")
    def _is_consistent(self) -> "Entry":
        if wrong := list(faults(self)):
            raise ValueError("; ".join(wrong))
        return self

    def to_text(self) -> str:
        """The one way in which its file is written."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"

    def leaks(self) -> dict[str, Leak]:
        """Every figure of an attack, by the field that holds it."""
        suite = self.suite
        found = {"suite.from_1": suite and suite.from_1, "suite.from_16": suite and suite.from_16}
        found |= {"best_known": self.best_known, "best_identity": self.best_identity}
        return {name: leak for name, leak in found.items() if leak is not None}


def faults(entry: Entry) -> Iterator[str]:
    """What cannot be true at once in an entry."""
    for name, leak in entry.leaks().items():
        if not leak.psnr_ci95[0] <= leak.psnr_db <= leak.psnr_ci95[1]:
            yield f"{name}: the mean PSNR {leak.psnr_db} lies outside of its interval {leak.psnr_ci95}"
    if entry.answers is not None:
        yield from _answer_faults(entry.answers)
    if entry.suite is None:
        if entry.best_known or entry.best_identity or entry.certificate:
            yield "best known attacks and certificates need a suite's figures beside them"
    else:
        yield from _suite_faults(entry, entry.suite)
    for bound in entry.certificate:
        if None not in (bound.mse_db, bound.attack_mse_db) and bound.attack_mse_db > bound.mse_db:  # type: ignore[operator]
            yield (
                f"certificate {bound.kind!r} is broken: an attack reaches {bound.attack_mse_db} dB, and none was "
                f"to come nearer than {bound.mse_db} dB"
            )


def _answer_faults(answers: Answers) -> Iterator[str]:
    low, high = answers.ci95
    if not low <= answers.value <= high:
        yield f"answers: {answers.value} lies outside of its interval {answers.ci95}"
    elif answers.measure != "likeness":
        wanted = accuracy_interval(round(answers.value * answers.pictures), answers.pictures)
        if any(abs(one - other) > 2e-3 for one, other in zip(answers.ci95, wanted, strict=True)):
            told = ", ".join(f"{end:.4f}" for end in wanted)
            yield (
                f"answers: {answers.value} of {answers.pictures} pictures has the interval [{told}] "
                f"(Wilson), not {list(answers.ci95)}"
            )


def _suite_faults(entry: Entry, suite: Suite) -> Iterator[str]:
    if suite.from_1.frames != 1:
        yield f"suite.from_1: is of {suite.from_1.frames} frames"
    if suite.from_16 is not None and suite.from_16.psnr_db < suite.from_1.psnr_db:
        yield "suite.from_16: an attacker of sixteen frames has the one frame too, and cannot be weaker"
    strongest = max(leak.psnr_db for leak in (suite.from_1, suite.from_16 or suite.from_1))
    if entry.best_known is None or entry.best_known.psnr_db < strongest - ROUNDING:
        yield f"best_known: must be no weaker than the suite's {strongest} dB"


def read_entry(path: Path) -> Entry:
    """The entry in a file, which must be named after it and written as ``Entry.to_text`` does.

    Raises:
        BoardError: anything else; the text names file and field.
    """
    text = read_text(path, MOST_ENTRY_BYTES)
    entry = parsed(Entry, text, str(path))
    if path.stem != entry.id:
        raise BoardError(f"{path}: holds the entry {entry.id!r}; name the file {entry.id}.json")
    if text != entry.to_text():
        raise BoardError(
            f"{path}: is not written as `siftfunnel lab board` writes it (order, digits, spaces), so changes "
            "could not be read; make it with `siftfunnel lab board add`"
        )
    return entry


def read_text(path: Path, most_bytes: int) -> str:
    """A small file's text.

    Raises:
        BoardError: it is missing, too large or no file.
    """
    try:
        return read_regular(path, most_bytes).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise BoardError(f"{path}: cannot be read: {error}") from None


def parsed(kind: type[Kind], text: str, place: str) -> Kind:
    """JSON text as a declared type.

    Raises:
        BoardError: the first field that is missing, unknown, ill-typed or inconsistent.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise BoardError(f"{place}: {_first(error)}") from None


def made(kind: type[Kind], place: str, values: Mapping[str, Any]) -> Kind:
    """A declared type of values; the error names where they come from."""
    return parsed(kind, json.dumps(values), place)


def _first(error: ValidationError) -> str:
    first: Mapping[str, Any] = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    why = str(first.get("ctx", {}).get("error") or first["msg"])
    return f"field {where!r}: {why}" if where else why


def write_entry(board: Path, entry: Entry) -> Path:
    """Write an entry into ``BOARD/entries`` and say where.

    Raises:
        BoardError: somebody else's entry has that name.
    """
    path = board / "entries" / f"{entry.id}.json"
    if path.is_file() and read_entry(path).origin.by != entry.origin.by:
        raise BoardError(f"{path}: is an entry of somebody else; give your bundle another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, entry.to_text())
    return path


def read_board(board: Path) -> list[Entry]:
    """Every entry of a board, by name.

    Raises:
        BoardError: there is none, or one cannot be used.
    """
    paths = sorted((board / "entries").glob("*.json"))
    if not paths:
        raise BoardError(f"{board}: no board is here (entries/*.json); name another folder with --board")
    return [read_entry(path) for path in paths]
