"""Making entries: of results that the repository keeps, of a bundle that is attacked first."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from siftfunnel.lab.arguments import say
from siftfunnel.lab.board.entry import BOARD, BoardError, Entry, made
from siftfunnel.lab.board.sources import READERS, Bundles, entries_of
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.json_fields import parse_object

if TYPE_CHECKING:
    import torch

RESULTS = BOARD.parent / "lab" / "results"


def repository_results() -> Iterator[Path]:
    """Every result of the repository that gives entries."""
    for path in sorted(RESULTS.glob("*/*.json")):
        result = parse_object(path.read_bytes(), str(path))
        if any(is_one(result) for is_one, _ in READERS.values()):
            yield path


@dataclass(frozen=True)
class Maker:
    """What an outsider says of an entry besides its figures; None keeps what is there."""

    by: str | None = None
    licence: str | None = None
    links: tuple[str, ...] = ()


def told_by(entry: Entry, maker: Maker) -> Entry:
    """An entry with who made it.

    Raises:
        BoardError: a link that is none.
    """
    values = entry.model_dump(mode="json")
    said = {"by": maker.by, "licence": maker.licence, "links": list(maker.links) or None}
    values["origin"] |= {key: value for key, value in said.items() if value is not None}
    return made(Entry, entry.id, values)


def add_bundle(
    named: str, args: argparse.Namespace, device: "torch.device", bundles: Bundles
) -> tuple[list[Entry], Mapping[str, Bundle]]:
    """Entries of a bundle, attacked by the suite as far as its run folder does not say so already.

    Returns:
        The entries, and the bundles at hand with this one among them.
    """
    from siftfunnel.lab.audit.audit import REPORT, audit
    from siftfunnel.lab.audit.budgets import budget
    from siftfunnel.lab.audit.subject import Request
    from siftfunnel.lab.evaluation.places import default_out
    from siftfunnel.lab.targets.target import target_at
    from siftfunnel.shared.bundle_search import find_bundle

    bundle = find_bundle(named)
    target = target_at(named, device)
    heard = args.codec or target.heard or ""
    out = default_out(f"{target.name}{heard and '-'}{heard}", target.digest)
    told = {key: getattr(args, key) for key in ("data", "cache", "dataset", "images", "codec")}
    audit(target, Request(out=out, budget=budget(args.budget), **told), say)
    known = {**bundles, bundle.digest: bundle}
    return entries_of(out / REPORT, known), known


def attacked_pictures(entry: Entry, data: Path | None, cache: Path | None) -> "torch.Tensor":
    """The attacked pictures of an entry in [0, 1], in their order.

    Raises:
        BoardError: the entry has no suite, or its pictures are not those that are here.
        DataError: the data set is not here.
    """
    import torch

    from siftfunnel.lab.attacks.victim import to_floats
    from siftfunnel.lab.data.datasets import load_splits

    if entry.suite is None:
        raise BoardError(f"{entry.id}: no suite has attacked it, so there is nothing to beat yet")
    splits = load_splits(entry.dataset, data, cache, size=entry.network.input[0])
    images = splits.test.spread(entry.suite.attacked)
    wanted = entry.suite.attacked_sha256
    if wanted is not None and images.pixels_sha256() != wanted:
        raise BoardError(
            f"{entry.id}: the pictures of {entry.dataset} here are not those that were attacked "
            f"({images.pixels_sha256()[:12]}, not {wanted[:12]}); use the files that its data set names"
        )
    return to_floats(torch.from_numpy(images.images_NHWC))
