"""The device's process: pictures in memory, LoadGen, the edge half and the client, at one end of a link.

It reads one task per line of standard input and answers each with one line of JSON; so that one process
serves all cells of a link.
"""

import json
import os
import queue
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from siftfunnel.bench.cells import record
from siftfunnel.bench.cells.counters import Counts, totals_between
from siftfunnel.bench.cells.load import complete, generate
from siftfunnel.bench.cells.paths import EdgeOnly, Upload, encoder_of
from siftfunnel.bench.cells.pictures import PictureSet, read_pictures
from siftfunnel.bench.cells.record import MEASURING, Frame, RunRecord, Task
from siftfunnel.bench.stored import as_json, read
from siftfunnel.shared.bundle import Bundle, load_bundle

WARM_UP_FRAMES, WARM_UP_S = 3, 0.5
BURSTS, BURST_S = (8, 32, 128, 512), 1.0


class Run:
    """One run: opens the way, warms it up, measures, closes.

    One thread computes on the device: it takes frames in the order of their arrival.
    """

    def __init__(
        self, task: Task, bundle: Bundle, pictures: PictureSet, on_measuring: Callable[[], None]
    ) -> None:
        self._on_measuring = on_measuring
        self._task = task
        self._files = pictures.files
        self._news: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._warm_up_frames = 0
        self._failure: BaseException | None = None
        if task.server is None:
            self._way: EdgeOnly | Upload = EdgeOnly(bundle, self._on_done)
        else:
            encoder = encoder_of(bundle, task.mode, task.codec, task.codec_index)
            self._way = Upload(bundle, task.server, task.codec, encoder, self._on_done)
        self._thread = ThreadPoolExecutor(1, "bench-device")

    def _on_done(self, frame: Frame) -> None:
        if frame.identity is None:
            self._news.put(frame)
        else:
            complete(frame.identity)

    def _put(self, frame: Frame) -> None:
        """Hand a frame over; returns at once."""
        frame.issued_s = perf_counter()
        self._thread.submit(self._guarded, frame)

    def _do(self, frame: Frame) -> None:
        """Do a frame's work on the caller's thread, which would only wait for it."""
        frame.issued_s = perf_counter()
        self._guarded(frame)

    def _guarded(self, frame: Frame) -> None:
        try:
            self._way.take(frame)
        except Exception as error:
            # LoadGen waits for every frame; what failed is told when the run is over
            self._failure = error
            if frame.identity is not None:
                complete(frame.identity)

    def _check(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"the device failed: {self._failure}") from self._failure

    def measure(self) -> RunRecord:
        """Run the task.

        Raises:
            RuntimeError: the way does not work, or no frame was answered.
        """
        try:
            return self._measure()
        finally:
            self._thread.shutdown()
            self._way.close()

    def _measure(self) -> RunRecord:
        task, load = self._task, self._task.load
        frames_per_s, capacity = self._warm_up(), None
        if load.scenario != "SingleStream" and not (load.scenario == "Server" and load.target_frames_per_s):
            capacity = frames_per_s = self._capacity()
        if load.scenario == "Server" and load.target_frames_per_s is None:
            assert capacity is not None
            load = replace(load, target_frames_per_s=capacity * load.capacity_share)
        frames: list[Frame] = []
        hand_over = self._do if load.scenario == "SingleStream" else self._put

        def issue(samples: Sequence[Any]) -> None:
            for sample in samples:
                frame = Frame(self._files[sample.index], sample.id)
                frames.append(frame)
                hand_over(frame)

        self._on_measuring()
        before = Counts.now(task, self._way)
        measured = generate(load, issue, len(self._files), frames_per_s)
        totals = totals_between(before, Counts.now(task, self._way), frames, task)
        self._check()
        record.check_order(frames, measured, self._files)
        stages_ms, residual = record.mean_stages(frames, measured.samples, task.mode)
        correct, judged, errors = record.judge(frames)
        unanswered, overloaded = record.backlog(frames, load.scenario, load.seconds)
        return RunRecord(
            frames=len(frames),
            warm_up_frames=self._warm_up_frames,
            seconds=record.span_s(frames),
            latencies_ms=tuple(round(value, 4) for value in measured.latencies_ms(load.scenario)),
            stages_ms=stages_ms,
            residual=residual,
            bytes=totals,
            correct=correct,
            judged=judged,
            errors=errors,
            frames_resent=sum(frame.sends > 1 for frame in frames),
            late=measured.over_limit,
            early_stopping=measured.early_stopping,
            capacity_frames_per_s=capacity,
            target_frames_per_s=load.target_frames_per_s,
            unanswered_at_end=unanswered,
            overloaded=overloaded,
        )

    def _warm_up(self) -> float:
        """One frame after the other; frames per second from their median latency."""
        until_s, latencies_s = perf_counter() + WARM_UP_S, list[float]()
        while len(latencies_s) < WARM_UP_FRAMES or perf_counter() < until_s:
            (frame,) = self._send(1)
            latencies_s.append(frame.answered_s - frame.issued_s)
        return 1 / float(np.median(latencies_s))

    def _capacity(self) -> float:
        """Frames per second when the way is kept full, from bursts that grow until one lasts long enough."""
        rate = 0.0
        for size in BURSTS:
            burst = self._send(size)
            answers_s = sorted(frame.answered_s for frame in burst)
            # from answer to answer: the first one's way is no work that others wait for
            rate = (size - 1) / max(answers_s[-1] - answers_s[0], 1e-6)
            if record.span_s(burst) >= BURST_S:
                break
        return rate

    def _send(self, count: int) -> list[Frame]:
        """Frames that are not measured, answered."""
        first = self._warm_up_frames
        self._warm_up_frames += count
        for number in range(first, first + count):
            self._put(Frame(self._files[number % len(self._files)]))
        frames: list[Frame] = []
        while len(frames) < count:
            try:
                frames.append(self._news.get(timeout=0.5))
            except queue.Empty:
                self._check()
        failed = [frame for frame in frames if frame.error is not None]
        if failed:
            why = self._way.failure if isinstance(self._way, Upload) else None
            raise RuntimeError(f"{failed[0].error} before the measurement began: {why or 'no more is known'}")
        return frames


def serve() -> None:
    """The device's process: runs the tasks of its standard input, one per line, until that ends."""
    # LoadGen writes to standard output; answers keep it to themselves
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), file=answers, flush=True)

    bundles: dict[str, Bundle] = {}
    sets: dict[tuple[str, int], PictureSet] = {}
    answer({"ready": True})
    for line in sys.stdin:
        task = read(Task, json.loads(line), "task")
        try:
            if task.bundle not in bundles:
                bundles[task.bundle] = load_bundle(Path(task.bundle))
            place = (task.pictures, task.pictures_at_most)
            if place not in sets:
                sets[place] = read_pictures(Path(task.pictures), task.pictures_at_most)
            run = Run(task, bundles[task.bundle], sets[place], lambda: answer(MEASURING))
            answer({"record": as_json(run.measure())})
        except (ValueError, RuntimeError) as error:
            answer({"failure": str(error)})
