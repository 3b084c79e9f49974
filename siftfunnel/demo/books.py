"""The demo's books: what the edge reported and what the attacker got, per network and codec, side by side."""

import time
from collections.abc import Mapping
from typing import Any

from siftfunnel.demo.tally import Figures, Skipped, Tally, overheard, since
from siftfunnel.demo.view import Row
from siftfunnel.shared.bundle import Bundle

Key = tuple[str, str]
"""A bundle's name and a codec's."""


class Books:
    """Figures of everything that was played; averages never mix codecs.

    Attributes:
        tallies: by bundle and codec, in the order in which they first played.
        skipped: pictures that could not be read.
        of_attacker: "bundles" of the attacker's ``/summary``, as it was last seen.
    """

    def __init__(self) -> None:
        self.tallies: dict[Key, Tally] = {}
        self.skipped = Skipped()
        self.of_attacker: Mapping[str, Any] = {}
        self._before: dict[Key, Mapping[str, Any]] = {}

    def begin_turn(self, bundle: Bundle, codec: str) -> None:
        """From here on a network plays anew."""
        key = (bundle.name, codec)
        self.tallies.setdefault(key, Tally(bundle.manifest.labels)).begin_turn(time.monotonic())
        self._before[key] = self.attacker(key)

    def add(self, outcome: Mapping[str, Any]) -> str | None:
        """Count one line of the edge's output; the reason where a picture was skipped that was not before."""
        self.tallies[outcome["bundle"], outcome["codec"]].add(outcome, time.monotonic())
        return self.skipped.add(outcome) if outcome["outcome"] == "skipped" else None

    def attacker(self, key: Key) -> Mapping[str, Any]:
        """The attacker's figures of a network and codec; empty where it saw none."""
        return overheard(self.of_attacker, *key)

    def rows(self, active: Mapping[str, str], wanted: int | None) -> list[Row]:
        """The figures as they are shown while something plays: of each network's latest turn.

        Args:
            active: the codec of each bundle that plays now.
            wanted: frames that each is to play; None: no end.
        """
        return [
            self._row(key, tally.lately(), self._before.get(key, {}), wanted, active.get(key[0]) == key[1])
            for key, tally in self.tallies.items()
        ]

    def totals(self, wanted: int | None) -> list[Row]:
        """The figures of the whole run, when nothing plays any more."""
        return [
            self._row(key, tally.overall(), {}, wanted, active=False) for key, tally in self.tallies.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """By bundle, and codec where one played with several."""
        names = [name for name, _ in self.tallies]
        return {
            (name if names.count(name) == 1 else f"{name} ({codec})"): {
                "codec": codec,
                **tally.as_json(self.attacker((name, codec))),
            }
            for (name, codec), tally in self.tallies.items()
        }

    def _row(
        self, key: Key, figures: Figures, before: Mapping[str, Any], wanted: int | None, active: bool
    ) -> Row:
        tally, attacker = self.tallies[key], self.attacker(key)
        return Row(
            name=key[0],
            codec=key[1],
            active=active,
            frames=tally.outcomes,
            frames_wanted=wanted,
            rate_fps=tally.rate_fps(time.monotonic()),
            accuracy=tally.accuracy,
            **figures._asdict(),
            wire_bytes=since(attacker, before, "wire_bytes_mean", "frames_intercepted"),
            errors=tally.errors,
            rebuilt=attacker.get("frames_reconstructed", 0),
            psnr_db=since(attacker, before, "psnr_mean", "frames_scored"),
            ssim=since(attacker, before, "ssim_mean", "frames_scored"),
        )
