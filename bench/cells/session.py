"""Measures a plan: link by link, repeats interleaved over the cells of a link."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from siftfunnel.bench.cells.assembly import assemble, percentiles
from siftfunnel.bench.cells.ends import Ends, RunFailedError, open_ends
from siftfunnel.bench.cells.journal import Journal
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import RunRecord
from siftfunnel.bench.children import NotStartedError
from siftfunnel.bench.links.link import Link, open_link, told
from siftfunnel.bench.links.probe import Calibration

Show = Callable[[str], None]
"""Takes a line of progress."""

_OVERHEAD_S = 3.0
_CALIBRATION_S = 15.0


class Session:
    """One `bench run`.

    Args:
        journal: Holds what is measured.
        show: Takes lines of progress.
        calibrates: Whether each link is measured first.
    """

    def __init__(self, journal: Journal, show: Show, *, calibrates: bool = True) -> None:
        self._journal = journal
        self._show = show
        self._calibrates = calibrates
        self._runs_left = 0
        self._run_number = 0
        self._overhead_s = _OVERHEAD_S

    def measure(self, plan: Sequence[PlannedCell]) -> None:
        """Measure what is not measured yet."""
        todo = [cell for cell in plan if not self._journal.has(cell)]
        if len(todo) < len(plan):
            self._show(f"{len(plan) - len(todo)} of {len(plan)} cells are in {self._journal.out} already")
        self._runs_left = sum(cell.repeats - len(self._journal.runs_of(cell)) for cell in todo)
        for _, group in groupby(todo, key=lambda cell: (cell.link, cell.emulation)):
            self._measure_link(list(group))
        self._journal.finish()

    def _measure_link(self, cells: list[PlannedCell]) -> None:
        profile, wanted = cells[0].link, cells[0].emulation
        try:
            with open_link(profile, wanted) as link:
                self._show(f"link {told(link)}")
                calibration = link.calibrate() if self._calibrates else None
                if calibration is not None:
                    self._show(f"  measured {calibration}")
                with open_ends(link, cells) as ends:
                    self._measure_cells(cells, link, ends, calibration)
        except (NotStartedError, RunFailedError) as error:
            self._skip([cell for cell in cells if not self._journal.has(cell)], str(error))

    def _measure_cells(
        self, cells: list[PlannedCell], link: Link, ends: Ends, calibration: Calibration | None
    ) -> None:
        for repeat in range(max(cell.repeats for cell in cells)):
            for cell in list(cells):
                if repeat >= cell.repeats or len(self._journal.runs_of(cell)) > repeat:
                    continue
                try:
                    record = self._run(cell, link, ends)
                except (NotStartedError, RunFailedError) as error:
                    cells.remove(cell)
                    self._skip([cell], str(error))
                    continue
                self._journal.add_run(cell, record)
                self._tell(cell, repeat, record)
        for cell in cells:
            runs = self._journal.runs_of(cell)
            self._journal.add_cell(assemble(cell, runs, link.emulation, calibration))

    def _run(self, cell: PlannedCell, link: Link, ends: Ends) -> RunRecord:
        load, earlier = cell.load, self._journal.runs_of(cell)
        if load.scenario == "Server" and earlier and earlier[0].target_frames_per_s is not None:
            # all repeats of a cell have the arrivals that the first one found
            load = replace(load, target_frames_per_s=earlier[0].target_frames_per_s)
        if cell.drop_s:
            link.check_can_drop()
        started_s, timers = time.monotonic(), list[threading.Timer]()

        def on_measuring() -> None:
            if cell.drop_s and cell.mode != "edge-only":
                timers.append(threading.Timer(load.seconds / 3, link.drop, (cell.drop_s,)))
                timers[-1].start()

        try:
            record = ends.run(cell, load, on_measuring)
        finally:
            for timer in timers:
                timer.cancel()
                timer.join()
        overhead_s = time.monotonic() - started_s - load.seconds
        self._overhead_s = 0.8 * self._overhead_s + 0.2 * max(overhead_s, 0.0)
        return record

    def _tell(self, cell: PlannedCell, repeat: int, record: RunRecord) -> None:
        self._runs_left -= 1
        self._run_number += 1
        total = self._run_number + self._runs_left
        p50, p90, _ = percentiles(record.latencies_ms)
        left_s = self._runs_left * (cell.load.seconds + self._overhead_s)
        rate = (record.frames - sum(record.errors.values())) / record.seconds
        accuracy = f", {record.correct / record.judged:.1%} right" if record.judged else ""
        self._show(
            f"[{self._run_number}/{total}] {cell}, repeat {repeat + 1} of {cell.repeats}: "
            f"p50 {p50:.1f} ms, p90 {p90:.1f} ms, {rate:.1f} frames/s{accuracy}"
            f"{', OVERLOADED' if record.overloaded else ''}; about {_minutes(left_s)} left"
        )

    def _skip(self, cells: Sequence[PlannedCell], why: str) -> None:
        for cell in cells:
            self._runs_left -= cell.repeats - len(self._journal.runs_of(cell))
            self._show(f"skipped {cell}: {why}")
            self._journal.skip(cell.skipped(why))


def estimate_s(plan: Sequence[PlannedCell]) -> float:
    """About how long a plan takes."""
    links = {(cell.link.name, cell.emulation) for cell in plan}
    return len(links) * _CALIBRATION_S + sum(
        cell.repeats * (cell.load.seconds + _OVERHEAD_S) for cell in plan
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
