"""Plays bundles in turn, obeys the page's switches, keeps the books, and leaves nothing behind."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftfunnel.demo.choice import DemoConfig
from siftfunnel.demo.control import ControlServer
from siftfunnel.demo.parties import Turn
from siftfunnel.demo.processes import Party
from siftfunnel.demo.selection import Selection
from siftfunnel.demo.services import Services
from siftfunnel.demo.tally import OutcomeReader, Tally, since
from siftfunnel.demo.view import Row, Snapshot, View

SETTLE_TIMEOUT_S = 60.0
SETTLE_STILL_S = 4.0
POLL_S = 0.1
LOOK_EVERY_S = 0.5
# An edge that was killed may have sent frames it never reported; no window is larger than this.
LOST_SEQUENCES = 100_000


@dataclass
class Playing:
    """The turn under way and what its edge has written so far."""

    turn: Turn
    edge: Party
    reader: OutcomeReader
    summary: Path
    started_s: float
    outcomes: int = 0
    asked_to_end: bool = False


class Conductor:
    """One run of the demo; ``run`` does all of it.

    Args:
        config: what to play.
        directory: logs, certificates and records of this run; the caller removes it.
        view: shows what happens.
        stop: set when somebody asks the run to end.
    """

    def __init__(self, config: DemoConfig, directory: Path, view: View, stop: threading.Event) -> None:
        self.tallies = {bundle.name: Tally(frozenset(bundle.manifest.classes)) for bundle in config.bundles}
        self._config = config
        self._directory = directory
        self._view = view
        self._stop = stop
        self._services = Services(config, directory, self._stop)
        self._selection = Selection(config.bundles, config.codec, config.tls)
        self._books: dict[str, dict[str, Any]] = {}
        self._books_before: dict[str, dict[str, Any]] = {}
        self._playing: Playing | None = None
        self._turns = 0
        self._next_sequence = 0
        self._looked_s = 0.0

    def attacker_of(self, name: str) -> dict[str, Any]:
        """A bundle's figures in the attacker's ``/summary``; empty where it saw none."""
        return self._books.get(name, {})

    def rows(self) -> list[Row]:
        """The figures of every bundle, in playing order."""
        return [self._row(name, tally) for name, tally in self.tallies.items()]

    def run(self, on_ready: Callable[[str], None]) -> None:
        """Play every bundle once (headless) or until ``stop`` is set.

        Args:
            on_ready: told the page's address once the parties are up.

        Raises:
            PartyError: a party ended by itself or did not come up.
        """
        control = (
            None if self._config.headless else ControlServer(self._selection.state, self._selection.switch)
        )
        try:
            self._services.start(control.url if control else None)
            if not self._stop.is_set():
                on_ready(self._services.meeting.page_url)
            if self._config.headless:
                self._play_once()
                self._settle()
            else:
                self._play_on()
        finally:
            self._services.end()
            if control:
                control.close()

    def _play_once(self) -> None:
        for _ in self._config.bundles:
            if not self._stop.is_set():
                self._begin_turn()
            while self._playing is not None and not self._stop.is_set():
                self._step(self._playing)
            self._end_turn()
            self._selection.advance()

    def _play_on(self) -> None:
        while not self._stop.is_set():
            playing = self._playing or self._begin_turn()
            self._step(playing)
            if self._selection.take_wish():
                self._end_turn()
            elif self._playing is None:
                self._selection.advance()
            elif self._turn_is_over(playing) and not playing.asked_to_end:
                playing.asked_to_end = True
                playing.edge.ask_to_end()
        self._end_turn()

    def _begin_turn(self) -> Playing:
        choice = self._selection.begin()
        turn = Turn(
            bundle=choice.bundle,
            codec=choice.codec,
            tls=choice.tls,
            first_sequence=self._next_sequence,
            frames=self._config.frames,
            # Every bundle of a round sees the same pictures, the next round sees others.
            seed=self._config.seed + self._turns // len(self._config.bundles),
        )
        self._turns += 1
        outcomes = self._directory / f"outcomes-{self._turns}.jsonl"
        summary = self._directory / f"edge-{self._turns}.json"
        edge = self._services.start_edge(turn, outcomes, summary)
        self._playing = Playing(turn, edge, OutcomeReader(outcomes), summary, time.monotonic())
        self.tallies[turn.bundle.name].begin_turn()
        self._books_before[turn.bundle.name] = self.attacker_of(turn.bundle.name)
        self._view.say(f"playing {turn.bundle.name} (codec {turn.codec}{', TLS' if turn.tls else ''})")
        return self._playing

    def _step(self, playing: Playing) -> None:
        """Wait a little, then look at everything once."""
        self._stop.wait(POLL_S)
        self._services.check()
        # Asked before reading: what an edge wrote before it ended is then read for certain.
        ended = playing.edge.returncode is not None
        self._read_outcomes(playing)
        if ended:
            self._finish_turn(playing)
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._look()

    def _read_outcomes(self, playing: Playing) -> None:
        tally = self.tallies[playing.turn.bundle.name]
        for outcome in playing.reader.read():
            playing.outcomes += 1
            tally.add(outcome, time.monotonic())

    def _turn_is_over(self, playing: Playing) -> bool:
        if self._selection.held or self._config.frames is not None or len(self._config.bundles) == 1:
            return False
        return time.monotonic() - playing.started_s >= self._config.turn_s

    def _end_turn(self) -> None:
        """End the edge now, if one plays, and take over its books."""
        playing = self._playing
        if playing is not None:
            playing.asked_to_end = True
            playing.edge.end()
            self._finish_turn(playing)

    def _finish_turn(self, playing: Playing) -> None:
        """Take over the books of an edge that has ended; one that failed by itself ends the demo."""
        self._read_outcomes(playing)
        self._playing = None
        if playing.edge.returncode != 0 and not playing.asked_to_end:
            raise playing.edge.ended()
        sent = _frames_sent(playing.summary)
        # Without its summary the edge was killed: only outcomes that were written down are known.
        self.tallies[playing.turn.bundle.name].frames_sent += playing.outcomes if sent is None else sent
        used = playing.outcomes + LOST_SEQUENCES if sent is None else max(sent, playing.outcomes)
        self._next_sequence += used
        playing.reader.path.unlink(missing_ok=True)
        playing.summary.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Wait until the attacker has worked off what it overheard, or its books stand still."""
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        last, changed_s = self._books, time.monotonic()
        while not self._stop.is_set() and time.monotonic() < deadline_s:
            self._services.check()
            self._look()
            if self._books != last:
                last, changed_s = self._books, time.monotonic()
            everything = all(
                is_settled(tally, self.attacker_of(name)) for name, tally in self.tallies.items()
            )
            if everything or time.monotonic() - changed_s > SETTLE_STILL_S:
                return
            self._stop.wait(POLL_S)

    def _look(self) -> None:
        """Ask the attacker for its books and show where things stand."""
        self._looked_s = time.monotonic()
        answer = self._services.attacker_summary()
        if answer is not None:
            self._books = dict(answer.get("bundles", {}))
        self._view.show(self._snapshot())

    def _snapshot(self) -> Snapshot:
        now = self._playing.turn if self._playing is not None else self._selection.choice
        held = self._selection.held
        return Snapshot(
            page_url=self._services.meeting.page_url,
            codec=now.codec,
            tls=now.tls,
            headline=f"siftfunnel demo, {'held by the switch on the page' if held else 'bundles in turn'}",
            rows=self.rows(),
        )

    def _row(self, name: str, tally: Tally) -> Row:
        books, before = self.attacker_of(name), self._books_before.get(name, {})
        edge_ms, round_trip_ms, payload_bytes = tally.lately()
        return Row(
            name=name,
            active=self._playing is not None and self._playing.turn.bundle.name == name,
            frames=tally.outcomes,
            frames_wanted=self._config.frames if self._config.headless else None,
            rate_fps=tally.rate_fps(time.monotonic()),
            accuracy=tally.accuracy,
            edge_ms=edge_ms,
            round_trip_ms=round_trip_ms,
            payload_bytes=payload_bytes,
            wire_bytes=since(books, before, "wire_bytes_mean", "frames_intercepted"),
            errors=tally.errors,
            rebuilt=books.get("frames_reconstructed", 0),
            psnr_db=since(books, before, "psnr_mean", "frames_scored"),
            ssim=since(books, before, "ssim_mean", "frames_scored"),
        )


def is_settled(tally: Tally, attacker: dict[str, Any]) -> bool:
    """Whether the attacker has heard, rebuilt and scored (or given up on) every frame on the wire."""
    heard = attacker.get("frames_intercepted", 0)
    rebuilt = attacker.get("frames_reconstructed", 0)
    given_up = attacker.get("frames_skipped", 0) + attacker.get("frames_undecodable", 0)
    scored = attacker.get("frames_scored", rebuilt) + attacker.get("frames_without_truth", 0)
    on_wire = tally.frames_sent - tally.superseded
    return bool(heard >= on_wire and rebuilt + given_up >= heard and scored >= rebuilt)


def _frames_sent(summary: Path) -> int | None:
    """What the edge says it sent; None where it left no summary."""
    try:
        return int(json.loads(summary.read_text())["frames_sent"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
