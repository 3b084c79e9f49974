"""An entry of the board: one small JSON file, its declared fields, and what must be true among them.

Figures are rounded as they are read, so that an entry made twice of the same results is the same bytes; a
file that is not written in this one way (order, digits, types) is refused, whatever it says.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.shared.files import read_regular, write_file

BOARD = Path(__file__).resolve().parents[2] / "board"
"""The repository's own board; a package that was installed without the repository has none."""
MOST_ENTRY_BYTES = 64 * 1024
ROUNDED_SHARE = 2e-3
BY_CHANCE_DB = 0.1
"""How far an attack on other pictures of the same kind may be beyond a bound before that counts as broken."""
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)


class BoardError(ValueError):
    """An entry, a claim or a source that cannot be used: says which field and what to do."""


def _rounded(digits: int) -> AfterValidator:
    return AfterValidator(lambda value: round(value, digits))


Decibels = Annotated[float, Field(ge=-20, le=100), _rounded(2)]
Share = Annotated[float, Field(ge=0, le=1), _rounded(4)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.@_-]{0,99}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=1)]
Work = Annotated[int, Field(ge=0)]
Link = Annotated[str, Field(pattern=r"^https://[^\s\"<>]+$", max_length=300)]


@dataclass(config=CONFIG, frozen=True)
class Answers:
    """How good answers are: by labels, by the whole network's best class, or by how far outputs move."""

    measure: Literal["accuracy", "agreement", "likeness"]
    value: Share
    ci95: tuple[Share, Share]
    pictures: Count


@dataclass(config=CONFIG, frozen=True)
class Leak:
    """What one attack restored: means over the attacked pictures, ``retrieval`` the share found again.

    ``frames`` are the observations of each picture that it averages; ``identity`` has what else of identity
    the suite measures, by the suite's names.
    """

    attack: Text
    frames: Count
    psnr_db: Decibels
    psnr_ci95: tuple[Decibels, Decibels]
    ssim: Annotated[float, Field(ge=-1, le=1), _rounded(3)]
    retrieval: Share | None
    identity: dict[Text, Annotated[float, _rounded(4)]]

    @property
    def identified(self) -> float | None:
        """Share of pictures that it betrays, by pixels or by a judge's embedding, whichever is more."""
        shares = (self.retrieval, self.identity.get("reidentified_rank1"))
        return max((share for share in shares if share is not None), default=None)


@dataclass(config=CONFIG, frozen=True)
class Known:
    """The best known attack: whose it is, where it can be had, and whether somebody else got the same."""

    leak: Leak
    by: Text
    source: Text
    is_reproduced: bool = True


@dataclass(config=CONFIG, frozen=True)
class Suite:
    """The attacks, on equal terms for all entries of one name, version and budget.

    Attributes:
        attacks: Names of those that ran.
        attacked: Pictures attacked, and where the result says it the SHA-256 of their pixels.
        auxiliary: The attacker's own pictures, where that is known.
        heard: What is overheard: a codec's name, or that there is none.
        is_noisy: Whether the device draws noise, so that many frames say more than one.
        from_1: The strongest from one frame of each picture.
        from_16: The strongest from up to sixteen; None where that was not tried.
        telling: The one that betrays most pictures, from however many frames; None where none is counted.
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
    is_noisy: bool
    from_1: Leak
    from_16: Leak | None
    telling: Leak | None
    agreement: Text | None = None

    @property
    def leak(self) -> Leak:
        """The strongest, however many frames it takes."""
        return self.from_16 or self.from_1


@dataclass(config=CONFIG, frozen=True)
class Bound:
    """A statement of a certificate: no attacker's mean error is below this, in dB of the mean MSE.

    ``says`` has what is bounded, on which pictures, and what is not said; ``attack_mse_db`` is the attack's
    on the same pictures.
    """

    kind: Text
    says: Text
    frames: Count
    pictures: Count
    mse_db: Decibels | None
    attack_mse_db: Decibels | None


@dataclass(config=CONFIG, frozen=True)
class Flag:
    """What has to be said aloud of a figure."""

    about: Text
    kind: Text
    text: Text


@dataclass(config=CONFIG, frozen=True)
class Origin:
    """Where figures come from: a result below the repository's root, if it is there, a bundle, a maker."""

    kind: Text
    file: Text | None
    bundle: Text | None
    digest: Digest | None
    by: Text
    licence: Text
    links: tuple[Link, ...]
    commit: Text | None


@dataclass(config=CONFIG, frozen=True)
class Entry:
    """One line of the board.

    Attributes:
        kind: What sends: a bundle, a trained row of the study, a network of somebody's own, a picture codec.
        input: Height and width of a picture in pixels.
        cut: After which part of the network the feature leaves the device.
        edge_parameters, edge_macs: On the device; multiply-adds for one picture.
        bytes_mean: Of a frame; ``codec`` says what makes them, or that they are an estimate.
        best_known, best_identity: Of all that was tried, by mean PSNR and by pictures betrayed.
    """

    schema_version: Literal[1]
    id: Name
    title: Text
    kind: Literal["bundle", "study", "own-network", "picture-codec"]
    dataset: Text
    input: tuple[Count, Count]
    network: Text
    cut: Text
    edge_parameters: Work | None
    edge_macs: Work | None
    defence: Text
    answers: Answers | None
    bytes_mean: Annotated[float, Field(gt=0), _rounded(1)]
    codec: Text
    is_estimate: bool
    suite: Suite | None
    best_known: Known | None
    best_identity: Known | None
    certificate: tuple[Bound, ...]
    flags: tuple[Flag, ...]
    origin: Origin

    def __post_init__(self) -> None:
        if wrong := list(faults(self)):
            raise ValueError("; ".join(wrong))


def faults(entry: Entry) -> Iterator[str]:
    """What cannot be true at once in an entry."""
    suite, known, answers = entry.suite, entry.best_known, entry.answers
    best = [each.leak for each in (known, entry.best_identity) if each]
    for leak in [*best, *([suite.from_1, suite.leak] if suite else [])]:
        if not leak.psnr_ci95[0] <= leak.psnr_db <= leak.psnr_ci95[1]:
            yield f"{leak.attack}: mean PSNR {leak.psnr_db} lies outside of its interval {leak.psnr_ci95}"
    if answers is not None and answers.measure != "likeness":
        right = round(answers.value * answers.pictures)
        wilson = [round(end, 4) for end in accuracy_interval(right, answers.pictures)]
        if any(abs(one - end) > ROUNDED_SHARE for one, end in zip(answers.ci95, wilson, strict=True)):
            yield f"answers: {right} of {answers.pictures} have the interval {wilson}, not {answers.ci95}"
    if suite is None:
        if known or entry.best_identity or entry.certificate:
            yield "best known attacks and certificates need a suite's figures beside them"
    elif suite.from_1.frames != 1 or suite.leak.psnr_db < suite.from_1.psnr_db:
        yield "suite: from_1 takes one frame, and whoever has sixteen has the one too and cannot be weaker"
    elif known is None or known.leak.psnr_db < suite.leak.psnr_db:
        yield f"best_known: must be no weaker than the suite's {suite.leak.psnr_db} dB"
    for bound in entry.certificate:
        if bound.mse_db and bound.attack_mse_db and bound.attack_mse_db > bound.mse_db + BY_CHANCE_DB:
            yield f"certificate {bound.kind!r} is broken: {bound.attack_mse_db} dB beat its {bound.mse_db} dB"


Kind = TypeVar("Kind")


def to_text(value: Any) -> str:
    """The one way in which an entry's or a claim's file is written."""
    return json.dumps(as_json(value), indent=1, ensure_ascii=False) + "\n"


def as_json(value: Any) -> Any:
    """JSON values of a declared type's."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Turn what a declared type refuses into a ``BoardError`` that names the place and the first field."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where, why = ".".join(map(str, first["loc"])), first.get("ctx", {}).get("error") or first["msg"]
        raise BoardError(f"{place}: " + (f"field {where!r}: {why}" if where else str(why))) from None


def read_file(kind: type[Kind], path: Path) -> Kind:
    """A declared type in a file, which is named after its ``id`` and written as ``to_text`` does.

    Raises:
        BoardError: anything else; the text names file and field.
    """
    try:
        text = read_regular(path, MOST_ENTRY_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise BoardError(f"{path}: cannot be read: {error}") from None
    with naming(str(path)):
        value = TypeAdapter(kind).validate_json(text)
    if text != to_text(value) or path.stem != value.id:  # type: ignore[attr-defined]  # all kinds have one
        raise BoardError(
            f"{path}: is not written or not named as `siftfunnel lab board` does it (order, digits, types, "
            "spaces), so that changes could not be read; make it with that command"
        )
    return value


def put_file(folder: Path, value: Any) -> Path:
    """Write an entry or a claim into a folder of the board and say where.

    Raises:
        BoardError: somebody else's entry has that name.
    """
    path = folder / f"{value.id}.json"
    # it may be of an older schema, which only its maker can write anew
    there = json.loads(path.read_bytes()) if isinstance(value, Entry) and path.is_file() else None
    if there is not None and there["origin"]["by"] != value.origin.by:
        raise BoardError(f"{path}: is an entry of somebody else; give your bundle another name")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, to_text(value))
    return path


def read_board(board: Path) -> list[Entry]:
    """Every entry of a board, by name.

    Raises:
        BoardError: there is none, or one cannot be used.
    """
    paths = sorted((board / "entries").glob("*.json"))
    if not paths:
        raise BoardError(f"{board}: no board is here (entries/*.json); name another folder with --board")
    return [read_file(Entry, path) for path in paths]


def said_by(entry: Entry, by: str | None, licence: str | None, links: list[str] | None) -> Entry:
    """An entry with what its maker says of it besides figures; None keeps what is there."""
    said = {"by": by, "licence": licence, "links": links}
    with naming("--by, --licence, --link"):
        told = as_json(entry.origin) | {key: value for key, value in said.items() if value}
        return replace(entry, origin=Origin(**told))


def take_off(board: Path, by: str, kept: Iterable[str]) -> list[str]:
    """Take what somebody's results gave off the board, but for what is kept; names what went."""
    gone = [one.id for one in read_board(board) if one.origin.by == by and one.origin.file]
    gone = sorted(set(gone) - set(kept))
    for name in gone:
        (board / "entries" / f"{name}.json").unlink()
        (board / "sheets" / f"{name}.webp").unlink(missing_ok=True)
    return gone
