"""What plays next: chosen in turn until a human switches on the page, then held. Safe across threads."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.bundle import Bundle
from siftfunnel.demo.control import WishError


@dataclass(frozen=True)
class Choice:
    """A bundle, how its features are encoded, and whether the channel is encrypted."""

    bundle: Bundle
    codec: str
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
        bundles: what can be chosen, in playing order.
        codec: wanted for every bundle; each one's default when None.
        tls: how the run starts.
    """

    def __init__(self, bundles: Sequence[Bundle], codec: str | None, tls: bool) -> None:
        self._bundles = tuple(bundles)
        self._wanted_codec = codec
        self._lock = threading.Lock()
        self._choice = Choice(self._bundles[0], codec_for(self._bundles[0], codec), tls)
        self._playing = self._choice
        self._held = False
        self._wished = False

    @property
    def choice(self) -> Choice:
        """What plays next."""
        with self._lock:
            return self._choice

    @property
    def held(self) -> bool:
        """Whether a switch ended the playing in turn."""
        with self._lock:
            return self._held

    def begin(self) -> Choice:
        """The choice, from now on what plays."""
        with self._lock:
            self._playing = self._choice
            return self._choice

    def advance(self) -> None:
        """Choose the bundle after the current one, unless the choice is held."""
        with self._lock:
            if self._held:
                return
            index = (self._bundles.index(self._choice.bundle) + 1) % len(self._bundles)
            bundle = self._bundles[index]
            self._choice = replace(self._choice, bundle=bundle, codec=codec_for(bundle, self._wanted_codec))

    def take_wish(self) -> bool:
        """Whether a switch came since the last call."""
        with self._lock:
            wished, self._wished = self._wished, False
            return wished

    def switch(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Take a checked wish (see ``control.read_wish``) and hold it; returns the state it leads to.

        Raises:
            WishError: no such bundle in this run, or the bundle has no such codec.
        """
        with self._lock:
            bundle = self._choice.bundle if "bundle" not in wish else self._named(wish["bundle"])
            codec = wish.get("codec")
            if codec is None and bundle is self._choice.bundle:
                codec = self._choice.codec
            self._choice = Choice(bundle, codec_for(bundle, codec), wish.get("tls", self._choice.tls))
            self._held = self._wished = True
            return self._state(self._choice)

    def state(self) -> dict[str, Any]:
        """What plays now and what could be chosen, as JSON values for the page."""
        with self._lock:
            return self._state(self._playing)

    def _state(self, choice: Choice) -> dict[str, Any]:
        return {
            "bundle": choice.bundle.name,
            "codec": choice.codec,
            "tls": choice.tls,
            "held": self._held,
            "detail": "Your choice plays on." if self._held else "Bundles play in turn until you choose.",
            "tls_available": True,
            "codecs": [codec.name for codec in choice.bundle.manifest.codecs],
            "bundles": [_about(bundle) for bundle in self._bundles],
        }

    def _named(self, name: str) -> Bundle:
        for bundle in self._bundles:
            if bundle.name == name:
                return bundle
        names = ", ".join(bundle.name for bundle in self._bundles)
        raise WishError(f"no bundle {name!r} in this demo; there are {names}")


def _about(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "defence": bundle.manifest.defence,
        "label_kind": bundle.manifest.label_kind,
        "codecs": [codec.name for codec in bundle.manifest.codecs],
        "default_codec": bundle.manifest.default_codec,
    }
