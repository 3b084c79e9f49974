"""Attacks from outside that beat ours: a form, the restored pictures that prove it, and the rule.

A claim names an entry and hands in what it restored of the entry's attacked pictures. Those are scored here,
by the same measures as the suite; restored pictures stay with whoever made them, their SHA-256 goes on the
board. A claim counts where the lower end of its 95 % interval lies above our best, in decibels or retrieval.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from siftfunnel.lab.board.entry import (
    CONFIG,
    BoardError,
    Count,
    Digest,
    Entry,
    Known,
    Leak,
    Link,
    Name,
    Text,
    naming,
    read_board,
    read_file,
)
from siftfunnel.lab.metrics.intervals import accuracy_interval

if TYPE_CHECKING:
    from torch import Tensor

CLAIMS, TENSOR = "attacks", "x_NCHW"


@dataclass(config=CONFIG, frozen=True)
class Claim:
    """An outside attack on an entry: the form, and what scoring found.

    Attributes:
        digest: Of the entry's bundle, so that a claim about another version does not count; None without one.
        source: Where it is described, and its code to be had, under ``licence``.
        access: What the attacker needs of the edge half.
        owns: Which pictures and what else the attacker has, in words.
        restored_sha256, figures: What scoring found; None in a form that is handed in.
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

    def beats(self, entry: Entry) -> list[str]:
        """What it beats of an entry as its file has it: ``decibels``, ``retrieval``, both or none."""
        ours, identity, suite, figures = entry.best_known, entry.best_identity, entry.suite, self.figures
        if figures is None or ours is None or suite is None or self.digest != entry.origin.digest:
            return []
        found = ["decibels"] if figures.psnr_ci95[0] > ours.leak.psnr_db else []
        if identity and figures.retrieval is not None:
            least = accuracy_interval(round(figures.retrieval * suite.attacked), suite.attacked)[0]
            found += ["retrieval"] if least > (identity.leak.identified or 0) else []
        return found


def with_claims(entry: Entry, claims: Iterable[Claim]) -> Entry:
    """An entry as the page shows it: with outside attacks that beat what its file knows."""
    fields = {"decibels": ("best_known", "psnr_db"), "retrieval": ("best_identity", "retrieval")}
    for what, (field, figure) in fields.items():
        better = [each for each in claims if each.entry == entry.id and what in each.beats(entry)]
        if better:
            best = max(better, key=lambda each: getattr(each.figures, figure))
            assert best.figures is not None
            known = Known(best.figures, best.by, best.source, best.reproduced_by is not None)
            changed: dict[str, Any] = {field: known}
            entry = replace(entry, **changed)
    return entry


def read_claims(board: Path) -> list[Claim]:
    """Every outside attack on a board.

    Raises:
        BoardError: one that cannot be used.
    """
    return [read_file(Claim, path) for path in sorted((board / CLAIMS).glob("*.json"))]


def read_form(path: Path) -> Claim:
    """A form that is handed in, however it is written.

    Raises:
        BoardError: it cannot be read, or a field is missing, unknown or ill-typed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BoardError(f"{path}: cannot be read: {error}") from None
    with naming(str(path)):
        return TypeAdapter(Claim).validate_json(text)


def check_claims(board: Path) -> Iterator[str]:
    """What is wrong with the outside attacks on a board: one a line."""
    entries = {entry.id: entry for entry in read_board(board)}
    for claim in read_claims(board):
        entry = entries.get(claim.entry)
        if entry is None:
            yield f"attack {claim.id}: there is no entry {claim.entry!r}"
        elif not claim.beats(entry):
            yield (
                f"attack {claim.id}: does not beat {claim.entry} beyond its interval, is not scored, or of "
                "another bundle; score it with `siftfunnel lab board add-attack`, or take it off"
            )


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
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from siftfunnel.lab.evaluation.scores import scores_of

    try:
        pixels = load_file(restored)[TENSOR]
    except (OSError, SafetensorError, KeyError) as error:
        raise BoardError(f"{restored}: is no safetensors file with a tensor {TENSOR} ({error})") from None
    if pixels.dtype != torch.uint8 or pixels.shape != originals_NCHW.shape:
        raise BoardError(
            f"{restored}: {TENSOR} is {pixels.dtype} {tuple(pixels.shape)}; an attack on {entry.id} hands in "
            f"uint8 {tuple(originals_NCHW.shape)}, one picture for each that was attacked, in their order"
        )
    scores = scores_of(originals_NCHW, pixels.float() / 255)
    psnr, ssim = (scores["standard"][key] for key in ("psnr_db", "ssim"))
    figures = Leak(
        claim.attack, claim.frames, psnr["mean"], psnr["ci95"], ssim["mean"], scores["retrieval_rank1"], {}
    )
    return replace(claim, figures=figures, restored_sha256=hashlib.sha256(restored.read_bytes()).hexdigest())


def attacked_pictures(entry: Entry, data: Path | None, cache: Path | None) -> "Tensor":
    """The attacked pictures of an entry in [0, 1], in their order.

    Raises:
        BoardError: no suite attacked it, or its pictures are not those that are here.
        DataError: the data set is not here.
    """
    import torch

    from siftfunnel.lab.attacks.victim import to_floats
    from siftfunnel.lab.data.datasets import load_splits

    if entry.suite is None:
        raise BoardError(f"{entry.id}: no suite has attacked it, so there is nothing to beat yet")
    splits = load_splits(entry.dataset, data, cache, size=entry.input[0])
    images, wanted = splits.test.spread(entry.suite.attacked), entry.suite.attacked_sha256
    if wanted is not None and images.pixels_sha256() != wanted:
        raise BoardError(
            f"{entry.id}: the pictures of {entry.dataset} here are not those that were attacked (SHA-256 "
            f"{images.pixels_sha256()[:12]}, not {wanted[:12]}); use the files that its data set names"
        )
    return to_floats(torch.from_numpy(images.images_NHWC))
