"""Which networks play together: those that answer the same question."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.plain_words import codec_says, says, title_of


@dataclass(frozen=True)
class Pair:
    """Networks that get the same pictures at the same time: two as a rule."""

    bundles: tuple[Bundle, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its bundles."""
        return tuple(bundle.name for bundle in self.bundles)

    @property
    def titles(self) -> tuple[str, ...]:
        """What people call its networks; their names where two would be called the same."""
        titles = tuple(title_of(bundle.manifest) for bundle in self.bundles)
        return titles if len(set(titles)) == len(titles) else self.names

    def as_json(self) -> dict[str, Any]:
        """What the page offers as a choice."""
        return {"bundles": list(self.names), "title": " | ".join(self.titles)}


def pairs_of(bundles: Sequence[Bundle]) -> tuple[Pair, ...]:
    """The ordinary network of each task beside each other one of that task, in the order given.

    Where a task has no ordinary network its first one takes that part.
    """
    pairs = []
    for task in tasks_of(bundles):
        anchor = next((each for each in task.bundles if each.manifest.defence == "none"), task.bundles[0])
        others = [each for each in task.bundles if each is not anchor]
        pairs += [Pair(tuple(b for b in task.bundles if b is anchor or b is other)) for other in others]
        pairs += [] if others else [task]
    return tuple(pairs)


def task_of(bundle: Bundle) -> Hashable:
    """What a network is asked: its classes, or where it ranks none, its outputs."""
    manifest = bundle.manifest
    if manifest.classes:
        return frozenset(manifest.ids)
    return frozenset((output.name, output.kind, output.shape) for output in manifest.given)


def tasks_of(bundles: Sequence[Bundle]) -> tuple[Pair, ...]:
    """All networks that answer one question together, for a run that is to play each of them once."""
    tasks: dict[Hashable, list[Bundle]] = {}
    for bundle in bundles:
        tasks.setdefault(task_of(bundle), []).append(bundle)
    return tuple(Pair(tuple(task)) for task in tasks.values())


def about(pair: Pair, codecs: dict[str, str]) -> list[dict[str, Any]]:
    """What the page says of each network of a pair that plays.

    Args:
        pair: it.
        codecs: which codec each bundle uses.
    """
    return [
        {
            "bundle": bundle.name,
            "title": title,
            "says": says(bundle.manifest),
            "codec": codecs[bundle.name],
            "codecs": [{"name": each.name, "says": codec_says(each)} for each in bundle.manifest.codecs],
        }
        for bundle, title in zip(pair.bundles, pair.titles, strict=True)
    ]
