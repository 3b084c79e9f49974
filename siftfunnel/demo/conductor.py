"""Plays networks side by side, obeys the page, brings back what dies, and leaves nothing behind."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from siftfunnel.demo.books import Books
from siftfunnel.demo.choice import DemoConfig, pictures_below
from siftfunnel.demo.pictures import Feeder, Pictures
from siftfunnel.demo.playing import Playing
from siftfunnel.demo.processes import Restarts
from siftfunnel.demo.selection import Selection, WishError, pairs_of, tasks_of
from siftfunnel.demo.services import Services
from siftfunnel.demo.tally import Tally
from siftfunnel.demo.view import Snapshot, View
from siftfunnel.shared.showing import printable

SETTLE_TIMEOUT_S = 60.0
SETTLE_STILL_S = 4.0
POLL_S = 0.1
LOOK_EVERY_S = 0.5
_WRONG_INPUT = 2
_REASONS_SAID = 10
OUTCOMES_MAX_BYTES = 100 << 20


class Conductor:
    """One run of the demo; ``run`` does all of it.

    Args:
        config: what to play.
        directory: logs, certificates and records of this run; the caller removes it.
        view: shows what happens.
        stop: set when somebody asks the run to end.

    Attributes:
        books: what was played and overheard.
        futile: whether no picture of the folder can be played.
    """

    def __init__(self, config: DemoConfig, directory: Path, view: View, stop: threading.Event) -> None:
        self.books = Books()
        self.futile = False
        self._config = config
        self._directory = directory
        self._view = view
        self._stop = stop
        labels = pictures_below(config.images)
        self._pictures = Pictures(
            labels if config.labelled else dict.fromkeys(labels), config.seed, config.shipped_images
        )
        self._services = Services(config, directory, stop, view.say)
        pairs = tasks_of(config.bundles) if config.headless else pairs_of(config.bundles)
        self._selection = Selection(config.bundles, pairs, config.codec, config.tls)
        self._edge_restarts = Restarts()
        self._playing: Playing | None = None
        self._frames_left = config.frames
        self._turns = 0
        self._turns_left = len(pairs) if config.headless else None
        self._turn_began_s = 0.0
        self._next_sequence = 0
        self._looked_s = 0.0

    # -- what the page asks for, on the control server's threads --------------------------------------------

    def state(self) -> dict[str, Any]:
        """What plays now and what could be chosen, as JSON values for the page."""
        return self._state(self._selection.state())

    def switch(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Take a checked wish (see ``control.read_wish``); returns the state it leads to.

        Raises:
            WishError: it cannot be granted; nothing changes.
        """
        rest = {name: value for name, value in wish.items() if name != "pictures"}
        if rest:
            self._selection.switch(rest)
        if "pictures" in wish:
            self._pictures.use_own(wish["pictures"] == "own")
        return self._state(self._selection.state(chosen=True))

    def picture(self, encoded: bytes) -> None:
        """Play a person's own picture next; it is kept in memory only."""
        self._pictures.push(encoded)

    def end(self, party: str) -> dict[str, Any]:
        """Kill a party, which comes back after a few seconds; returns the state.

        Raises:
            WishError: it does not run.
        """
        cloud, playing = self._services.cloud, self._playing
        if party == "cloud" and cloud is not None and cloud.up:
            cloud.kill()
        elif party == "edge" and playing is not None and playing.up:
            self._edge_restarts.killed()
            playing.edge.kill()
        else:
            raise WishError(f"the {party} is down already")
        return self.state()

    def _state(self, selected: dict[str, Any]) -> dict[str, Any]:
        cloud, playing = self._services.cloud, self._playing
        died = playing is not None and not playing.up and not playing.asked_to_end
        edge_gone = self._edge_restarts.away or died
        return {
            **selected,
            "pictures": self._pictures.source,
            "parties": {
                "cloud": "up" if cloud is not None and cloud.up else "down",
                "edge": "down" if edge_gone else "up",
            },
            "settings": {"rate_fps": self._config.rate_fps, "seed": self._config.seed},
            "skipped": self.books.skipped.as_json(),
        }

    # -- the run --------------------------------------------------------------------------------------------

    def run(self, on_ready: Callable[[str], None]) -> None:
        """Play everything once (headless) or until ``stop`` is set.

        Args:
            on_ready: told the page's address once the parties are up.

        Raises:
            PartyError: a party did not come up, or died too often.
        """
        control = None
        if not self._config.headless:
            from siftfunnel.demo.control import ControlServer

            control = ControlServer(self)
        try:
            self._services.start(control.url if control else None)
            if not self._stop.is_set():
                on_ready(self._services.meeting.page_url)
            while not (self._stop.is_set() or self.futile or self._turns_left == 0):
                self._step()
            self._end_turn()
            if self._config.headless:
                self._settle()
        finally:
            self._services.end()
            if control:
                control.close()

    def summary_settings(self) -> dict[str, Any]:
        """What the figures depend on, for the summary."""
        return {
            "tls": self._selection.choice.tls,
            "rate_fps": self._config.rate_fps,
            "seed": self._config.seed,
            "frames": self._config.frames,
            "images": str(self._config.images),
        }

    def _step(self) -> None:
        """Wait a little, then look at everything once."""
        if self._playing is None and not self._edge_restarts.away:
            self._begin_turn()
        self._stop.wait(POLL_S)
        self._services.look()
        if self._playing is not None:
            self._mind(self._playing)
        elif self._edge_restarts.due(time.monotonic()):
            self._view.say("edge is started again")
        if self._selection.take_wish():
            self._end_turn()
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._look()

    def _begin_turn(self) -> None:
        choice = self._selection.begin()
        self._turns += 1
        self._turn_began_s = time.monotonic()
        outcomes = self._directory / f"outcomes-{self._turns}.jsonl"
        summary = self._directory / f"edge-{self._turns}.json"
        for bundle in choice.pair.bundles:
            self.books.begin_turn(bundle, choice.codecs[bundle.name])
        edge = self._services.start_edge(choice, self._next_sequence, outcomes, summary)
        feeder = Feeder(self._pictures, edge.input, self._config.rate_fps, self._frames_left)
        self._playing = Playing(choice, edge, feeder, outcomes, summary)
        networks = " | ".join(f"{name} (codec {codec})" for name, codec in choice.playing.items())
        self._view.say(f"playing {networks}{', TLS' if choice.tls else ''}")

    def _mind(self, playing: Playing) -> None:
        """Read what the edge wrote; end its turn when it is over."""
        # Asked before reading: what an edge wrote before it ended is then read for certain.
        ended = not playing.up
        self._read_outcomes(playing)
        if ended:
            self._finish_turn(playing)
            return
        if self._frames_left is not None:
            # a picture that cannot be read is no frame: another one takes its place
            playing.feeder.wanted = self._frames_left + playing.skipped
        self.futile = playing.settled == playing.skipped >= self._pictures.folder_size
        if playing.complete or self._turn_is_over(playing):
            playing.asked_to_end = True
            playing.feeder.end()

    def _read_outcomes(self, playing: Playing) -> None:
        for outcome in playing.read():
            reason = self.books.add(outcome)
            said = len(self.books.skipped.reasons)
            if reason is not None and said <= _REASONS_SAID:
                more = " (further ones are only counted)" if said == _REASONS_SAID else ""
                self._view.say(printable(f"skipped {reason}{more}"))

    def _turn_is_over(self, playing: Playing) -> bool:
        if playing.written_bytes > OUTCOMES_MAX_BYTES:
            # a demo may run for days
            return True
        if self._config.frames is not None or not self._selection.in_turn:
            return False
        return time.monotonic() - self._turn_began_s >= self._config.turn_s

    def _end_turn(self) -> None:
        """End the edge now, if one plays, and take over its books."""
        playing = self._playing
        if playing is not None:
            playing.asked_to_end = True
            playing.edge.end()
            self._finish_turn(playing)

    def _finish_turn(self, playing: Playing) -> None:
        """Take over the books of an edge that has ended, and decide what comes next."""
        self._read_outcomes(playing)
        self._playing = None
        playing.feeder.join()
        self._next_sequence += playing.feeder.fed
        sent = playing.sent() or {}
        for key in playing.choice.playing.items():
            self._account(self.books.tallies[key], playing, sent.get(key[0]), key[0])
        playing.remove_files()
        if playing.asked_to_end:
            self._frames_left = self._config.frames
            self._selection.advance()
            if self._turns_left is not None:
                self._turns_left -= 1
        else:
            self._edge_died(playing)

    def _account(self, tally: Tally, playing: Playing, sent: int | None, name: str) -> None:
        if sent is None:
            # it was killed: what it was given and never spoke of is lost with it
            tally.lost += playing.unaccounted(name)
            sent = playing.outcomes(name) + playing.unaccounted(name)
        tally.frames_sent += sent

    def _edge_died(self, playing: Playing) -> None:
        """Bring it back for the rest of its turn.

        Raises:
            PartyError: it died too often, or was told something wrong.
        """
        if not self._edge_restarts.died(time.monotonic()) or playing.edge.returncode == _WRONG_INPUT:
            raise playing.edge.ended()
        if self._frames_left is not None:
            self._frames_left = max(0, self._frames_left - (playing.feeder.fed - playing.skipped))
        pause_s = self._edge_restarts.pause_s
        self._view.say(f"{playing.edge.how_it_ended()}; it comes back in {pause_s:.0f} s")

    def _settle(self) -> None:
        """Wait until the attacker has worked off what it overheard, or its books stand still."""
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        last, changed_s = self.books.of_attacker, time.monotonic()
        while not self._stop.is_set() and time.monotonic() < deadline_s:
            self._services.look()
            self._look()
            if self.books.of_attacker != last:
                last, changed_s = self.books.of_attacker, time.monotonic()
            everything = all(
                is_settled(tally, self.books.attacker(key)) for key, tally in self.books.tallies.items()
            )
            if everything or time.monotonic() - changed_s > SETTLE_STILL_S:
                return
            self._stop.wait(POLL_S)

    def _look(self) -> None:
        """Ask the attacker for its books and show where things stand."""
        self._looked_s = time.monotonic()
        answer = self._services.attacker_summary()
        if answer is not None:
            self.books.of_attacker = dict(answer.get("bundles", {}))
        self._view.show(self._snapshot())

    def _snapshot(self) -> Snapshot:
        playing = self._playing
        choice = playing.choice if playing is not None else self._selection.choice
        wanted = self._config.frames if self._config.headless else None
        in_turn = self._selection.in_turn and not self._config.headless
        return Snapshot(
            page_url=self._services.meeting.page_url + self._config.page_query,
            tls=choice.tls,
            headline=f"siftfunnel demo, {'pairs in turn' if in_turn else ' | '.join(choice.pair.titles)}",
            rows=self.books.rows(choice.playing if playing else {}, wanted),
        )


def is_settled(tally: Tally, attacker: Mapping[str, Any]) -> bool:
    """Whether the attacker has heard, rebuilt and scored (or given up on) every frame on the wire."""
    heard = attacker.get("frames_intercepted", 0)
    rebuilt = attacker.get("frames_reconstructed", 0)
    given_up = attacker.get("frames_skipped", 0) + attacker.get("frames_undecodable", 0)
    scored = attacker.get("frames_scored", rebuilt) + attacker.get("frames_without_truth", 0)
    on_wire = tally.frames_sent - tally.superseded - tally.lost
    return bool(heard >= on_wire and rebuilt + given_up >= heard and scored >= rebuilt)
