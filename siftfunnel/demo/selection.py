"""What plays next: pairs in turn until a human chooses one, then that one. Safe across threads."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from siftfunnel.demo.control import WishError
from siftfunnel.demo.pairs import Pair, about, task_of
from siftfunnel.shared.bundle import Bundle


@dataclass(frozen=True)
class Choice:
    """Networks that play together, the codec of every bundle, and whether the channel is encrypted."""

    pair: Pair
    codecs: Mapping[str, str]
    tls: bool


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
    """The current choice, written by the conductor and by the page's switches.

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
