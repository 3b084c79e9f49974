"""Which networks play together, and when: pairs in turn until a human chooses one, then that one."""

import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.plain_words import codec_says, says, title_of


class WishError(ValueError):
    """A wish the conductor cannot grant; the text says why."""


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


@dataclass(frozen=True)
class Choice:
    """Networks that play together, the codec of every bundle, and whether the channel is encrypted."""

    pair: Pair
    codecs: Mapping[str, str]
    tls: bool

    @property
    def playing(self) -> dict[str, str]:
        """The codec of each network that plays."""
        return {name: self.codecs[name] for name in self.pair.names}


def codec_for(bundle: Bundle, wanted: str | None) -> str:
    """The wanted codec, or the bundle's default.

    Raises:
        WishError: the bundle has no such codec; the text lists what it has.
    """
    names = [codec.name for codec in bundle.manifest.codecs]
    if wanted is not None and wanted not in names:
        raise WishError(f"bundle {bundle.name} has no codec {wanted!r}; it has {', '.join(names)}")
    return wanted or bundle.manifest.default_codec


class Selection:
    """The current choice, written by the conductor and by the page's switches; safe across threads.

    Args:
        bundles: what can be chosen.
        pairs: which of them play together, in playing order.
        codec: wanted for every bundle; each one's default when None.
        tls: how the run starts.
    """

    def __init__(
        self, bundles: Sequence[Bundle], pairs: Sequence[Pair], codec: str | None, tls: bool
    ) -> None:
        self.pairs = tuple(pairs)
        self._bundles = {bundle.name: bundle for bundle in bundles}
        self._lock = threading.Lock()
        codecs = {bundle.name: codec_for(bundle, codec) for bundle in bundles}
        self._choice = self._playing = Choice(self.pairs[0], codecs, tls)
        self._held = False
        self._wished = False

    @property
    def choice(self) -> Choice:
        """What plays next."""
        with self._lock:
            return self._choice

    @property
    def in_turn(self) -> bool:
        """Whether another pair gets its turn after this one."""
        with self._lock:
            return not self._held and len(self.pairs) > 1

    def begin(self) -> Choice:
        """The choice, from now on what plays."""
        with self._lock:
            self._playing = self._choice
            return self._choice

    def advance(self) -> None:
        """Choose the pair after the current one, unless a human chose."""
        with self._lock:
            if self._held or self._choice.pair not in self.pairs:
                return
            index = (self.pairs.index(self._choice.pair) + 1) % len(self.pairs)
            self._choice = replace(self._choice, pair=self.pairs[index])

    def take_wish(self) -> bool:
        """Whether what plays is no longer what was chosen since the last call."""
        with self._lock:
            wished, self._wished = self._wished, False
            return wished

    def switch(self, wish: Mapping[str, Any]) -> None:
        """Take a checked wish (see `control.read_wish`) and hold it, or give the pairs their turns back.

        Raises:
            WishError: no such bundle in this run, networks of different classes or outputs, or no such codec.
        """
        with self._lock:
            pair = self._pair(wish["bundles"]) if "bundles" in wish else self._choice.pair
            chosen = {
                name: codec_for(self._named(name), codec) for name, codec in wish.get("codec", {}).items()
            }
            choice = Choice(pair, {**self._choice.codecs, **chosen}, wish.get("tls", self._choice.tls))
            self._held = "in_turn" not in wish
            if not self._held and choice.pair not in self.pairs:
                choice = replace(choice, pair=self.pairs[0])
            self._wished = self._wished or choice != self._playing
            self._choice = choice

    def state(self, chosen: bool = False) -> dict[str, Any]:
        """What plays now (or what was chosen and is about to) and what else could be, for the page."""
        with self._lock:
            playing = self._choice if chosen else self._playing
            return {
                "pair": about(playing.pair, dict(playing.codecs)),
                "choices": [pair.as_json() for pair in self.pairs],
                "in_turn": not self._held,
                "tls": playing.tls,
            }

    def _pair(self, names: Sequence[str]) -> Pair:
        pair = Pair(tuple(self._named(name) for name in names))
        if len(set(names)) < len(names) or len({task_of(bundle) for bundle in pair.bundles}) > 1:
            raise WishError("bundles: name different networks with the same classes or outputs")
        return next((each for each in self.pairs if set(each.names) == set(names)), pair)

    def _named(self, name: str) -> Bundle:
        if name not in self._bundles:
            raise WishError(f"no bundle {name!r} in this demo; there are {', '.join(self._bundles)}")
        return self._bundles[name]
