"""Attacks from outside that beat ours: a form, the restored pictures that prove it, and the rule.

A claim names an entry and hands in what it restored of the entry's attacked pictures. Those are scored here,
by the same measures as the suite; restored pictures stay with whoever made them, their SHA-256 goes on the
board. A claim counts where the lower end of its 95 % interval lies above our best, in decibels or retrieval.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from siftfunnel.lab.board.entry import (
    MOST_ENTRY_BYTES,
    BoardError,
    Count,
    Digest,
    Entry,
    Known,
    Leak,
    Link,
    Name,
    Part,
    Text,
    made,
    parsed,
    read_board,
    read_text,
)
from siftfunnel.lab.metrics.intervals import accuracy_interval
from siftfunnel.shared.files import write_file

if TYPE_CHECKING:
    from torch import Tensor

CLAIMS = "attacks"
TENSOR = "x_NCHW"


class Claim(Part):
    """An outside attack on an entry: the form, and what scoring found.

    Attributes:
        id: Its own name, and its file's.
        entry: The entry that it is about.
        digest: Of the entry's bundle, so that a claim about another version does not count; None without one.
        attack: What it is called.
        by: Whose it is.
        source: Where it is described, and its code to be had.
        licence: Of that code.
        access: What the attacker needs of the edge half.
        frames: Observations of each picture that it uses.
        owns: Which pictures and what else the attacker has, in words.
        restored_sha256: Of the file of restored pictures; None in a form that is handed in.
        figures: What scoring found; None in a form that is handed in.
        reproduced_by: Who ran the code and got the same; None while nobody else has.
    """

    schema_version: Literal[1]
    id: Name
    entry: Name
    digest: Digest | None
    attack: Text
    by: Text
    source: Link
    licence: Text
    access: Literal["no-query", "black-box", "gray-box", "white-box"]
    frames: Count
    owns: Text
    restored_sha256: Digest | None = None
    figures: Leak | None = None
    reproduced_by: Text | None = None

    def beats(self, entry: Entry) -> tuple[str, ...]:
        """What it beats of an entry as its file has it: ``decibels``, ``retrieval``, both or none."""
        ours = entry.best_known
        found: list[str] = []
        if self.figures is None or ours is None or entry.suite is None or self.digest != entry.origin.digest:
            return ()
        if self.figures.psnr_ci95[0] > ours.psnr_db:
            found.append("decibels")
        best, share = entry.best_identity, self.figures.retrieval
        pictures = entry.suite.attacked
        if best and best.retrieval is not None and share is not None:
            least = accuracy_interval(round(share * pictures), pictures)[0]
            found += ["retrieval"] if least > best.retrieval else []
        return tuple(found)

    def known(self) -> Known:
        """As the best known attack of an entry."""
        assert self.figures is not None
        told = self.figures.model_dump(mode="json")
        told |= {"by": self.by, "source": self.source, "is_reproduced": self.reproduced_by is not None}
        return made(Known, self.id, told)


def with_claims(entry: Entry, claims: Iterable[Claim]) -> Entry:
    """An entry as the page shows it: with outside attacks that beat what its file knows."""
    scored = [claim for claim in claims if claim.entry == entry.id and claim.figures]
    of_it = [(claim.beats(entry), claim.known()) for claim in scored]
    best = [known for what, known in of_it if "decibels" in what]
    identity = [known for what, known in of_it if "retrieval" in what]
    changed = {}
    if best:
        changed["best_known"] = max(best, key=lambda known: known.psnr_db)
    if identity:
        changed["best_identity"] = max(identity, key=lambda known: known.retrieval or 0)
    return entry.model_copy(update=changed)


def read_claims(board: Path) -> list[Claim]:
    """Every outside attack on a board.

    Raises:
        BoardError: one that cannot be used, or was not scored.
    """
    found = [read_claim(path) for path in sorted((board / CLAIMS).glob("*.json"))]
    for claim in found:
        if claim.figures is None:
            raise BoardError(
                f"{board / CLAIMS}: claim {claim.id!r} was not scored; run `siftfunnel lab board add-attack`"
            )
    return found


def read_claim(path: Path) -> Claim:
    """A form that is handed in, or a claim on the board.

    Raises:
        BoardError: a field that is missing, unknown or ill-typed.
    """
    return parsed(Claim, read_text(path, MOST_ENTRY_BYTES), str(path))


def score_claim(claim: Claim, entry: Entry, restored: Path, originals_NCHW: "Tensor") -> Claim:
    """A claim with what its restored pictures score.

    Args:
        claim: The form.
        entry: The entry that it names.
        restored: A safetensors file with ``x_NCHW``, uint8, in the order of the attacked pictures.
        originals_NCHW: The attacked pictures in [0, 1].

    Raises:
        BoardError: the file is no such file, or is of other pictures.
    """
    from siftfunnel.lab.attacks.victim import to_floats
    from siftfunnel.lab.evaluation.scores import scores_of

    pixels = _restored(restored)
    wanted = tuple(originals_NCHW.shape)
    if str(pixels.dtype) != "torch.uint8" or tuple(pixels.shape) != wanted:
        raise BoardError(
            f"{restored}: {TENSOR} is {pixels.dtype} {tuple(pixels.shape)}; an attack on {entry.id} hands in "
            f"uint8 {wanted}, one picture for each that was attacked, in their order"
        )
    scores = scores_of(originals_NCHW, to_floats(pixels.permute(0, 2, 3, 1)))
    standard = scores["standard"]
    figures = {
        "attack": claim.attack,
        "frames": claim.frames,
        "psnr_db": standard["psnr_db"]["mean"],
        "psnr_ci95": standard["psnr_db"]["ci95"],
        "ssim": standard["ssim"]["mean"],
        "retrieval": scores["retrieval_rank1"],
        "identity": {},
    }
    digest = hashlib.sha256(restored.read_bytes()).hexdigest()
    return claim.model_copy(update={"restored_sha256": digest, "figures": made(Leak, claim.id, figures)})


def _restored(path: Path) -> "Tensor":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)[TENSOR]
    except (OSError, SafetensorError, KeyError) as error:
        raise BoardError(f"{path}: is no safetensors file with a tensor {TENSOR} ({error})") from None


def write_claim(board: Path, claim: Claim) -> Path:
    """Put a claim on the board and say where it lies."""
    path = board / CLAIMS / f"{claim.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, claim.model_dump_json(indent=1) + "\n")
    return path


def check_claims(board: Path) -> Iterator[str]:
    """What is wrong with the outside attacks on a board: one a line."""
    entries = {entry.id: entry for entry in read_board(board)}
    for claim in read_claims(board):
        entry = entries.get(claim.entry)
        if entry is None:
            yield f"attack {claim.id}: there is no entry {claim.entry!r}"
        elif not claim.beats(entry):
            yield (
                f"attack {claim.id}: no longer beats {claim.entry} beyond its interval, or is of another "
                "bundle; take it off, or score it anew"
            )
