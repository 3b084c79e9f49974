"""MLPerf's scenarios, driven by LoadGen: what it is told, and what its logs say."""

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from siftfunnel.bench.cells.result import EarlyStopping, Scenario
from siftfunnel.shared.settings import check, setting

QUERIES_FOR_P90 = 64
"""LoadGen's rule claims no 90th percentile from fewer."""
AT_MOST_S = 120.0
MULTI_STREAM_FRAMES = 8
"""Frames per query of MultiStream, as MLPerf has it."""

_NS_PER_MS = 1e6
_PREFIX = "run_"
_SAMPLE = re.compile(r'^\{"name":"Sample".*"ph":"b".*"args":(\{[^}]*\})')
_ESTIMATE = re.compile(r"(9[09])(?:\.0)?th percentile estimate: (\d+)")


@dataclass(frozen=True)
class Load:
    """One run's load.

    Attributes:
        scenario: Of MLPerf.
        seconds: Its length; Server schedules arrivals for as long, Offline hands in as much work at once.
        at_most_s: Where more queries are wanted than fit into `seconds`, the end; SingleStream, MultiStream.
        queries: Wanted at least.
        frames_per_query: MultiStream.
        target_frames_per_s: Mean of Server's Poisson arrivals; None takes a share of what the way can carry.
        capacity_share: That share; above 1 it is an overload.
        latency_limit_ms: Server counts later answers.
        seed: Of pictures' order and arrivals.

    Raises:
        ValueError: a time, a rate or a count that is not above 0; an end before the end.
    """

    scenario: Scenario
    seconds: float = setting(4.0, "of one run", above=0)
    at_most_s: float = setting(AT_MOST_S, flag="")
    queries: int = setting(1, flag="", least=1)
    frames_per_query: int = setting(MULTI_STREAM_FRAMES, "of MultiStream", least=1)
    target_frames_per_s: float | None = setting(
        None, "Server's arrivals (half of what the way can carry)", flag="--target", metavar="FPS", above=0
    )
    capacity_share: float = setting(0.5, flag="", above=0)
    latency_limit_ms: float = setting(
        100.0, "Server counts answers later than this and the link's round trip", flag="--limit-ms", above=0
    )
    seed: int = setting(1, "of pictures' order and arrivals")

    def __post_init__(self) -> None:
        check(self)
        if not self.at_most_s >= self.seconds:
            raise ValueError(f"a run of {self.seconds:g} s lasts more than at_most_s, {self.at_most_s:g}")


@dataclass(frozen=True)
class Sample:
    """One frame as LoadGen saw it.

    Attributes:
        number: In the order of issue.
        query: Its query's number.
        picture: Index of its picture.
        late_ms: From its scheduled time until it was issued.
        latency_ms: From its scheduled time until its completion was told.
    """

    number: int
    query: int
    picture: int
    late_ms: float
    latency_ms: float


@dataclass(frozen=True)
class Measured:
    """What LoadGen's logs say of a run.

    Attributes:
        samples: In the order of issue.
        early_stopping: Its claim; None in Offline, which has none.
        over_limit: Queries later than the limit; Server only.
    """

    samples: tuple[Sample, ...]
    early_stopping: EarlyStopping | None
    over_limit: int | None

    def latencies_ms(self, scenario: Scenario) -> list[float]:
        """Of whole queries in MultiStream, that of a query's last frame; elsewhere of frames."""
        if scenario != "MultiStream":
            return [sample.latency_ms for sample in self.samples]
        by_query = groupby(sorted(self.samples, key=lambda sample: sample.query), lambda sample: sample.query)
        return [max(sample.latency_ms for sample in samples) for _, samples in by_query]


Issue = Callable[[Sequence[Any]], None]
"""Takes LoadGen's samples (`id`, `index`), soon returns, and later tells `complete` of each."""


def complete(identity: int) -> None:
    """Tell LoadGen that a sample is done."""
    import mlperf_loadgen

    mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(identity, 0, 0)])


def generate(load: Load, issue: Issue, pictures: int, frames_per_s: float) -> Measured:
    """Run a scenario to its end.

    Args:
        load: What to run.
        issue: The system under test.
        pictures: Size of the set; samples' indices lie below.
        frames_per_s: What the system is expected to do at most; LoadGen prepares queries for it.

    Raises:
        ModuleNotFoundError: without the extra `bench`.
    """
    import mlperf_loadgen as loadgen

    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(pictures, pictures, lambda indices: None, lambda indices: None)
    with tempfile.TemporaryDirectory(prefix="siftfunnel-loadgen-") as folder:
        try:
            loadgen.StartTestWithLogSettings(
                system, library, _settings(loadgen, load, frames_per_s), _log_settings(loadgen, folder)
            )
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(system)
        return read_logs(Path(folder), load.scenario)


def _settings(loadgen: Any, load: Load, frames_per_s: float) -> Any:
    made = loadgen.TestSettings()
    made.scenario = getattr(loadgen.TestScenario, load.scenario)
    made.mode = loadgen.TestMode.PerformanceOnly
    made.min_duration_ms = round(load.seconds * 1000)
    made.max_duration_ms = round(load.at_most_s * 1000) if load.scenario.endswith("Stream") else 0
    made.min_query_count = load.queries if load.scenario.endswith("Stream") else 1
    # LoadGen prepares queries beforehand; a generous rate keeps it from running out of them
    made.single_stream_expected_latency_ns = round(1e9 / (2 * frames_per_s))
    made.multi_stream_expected_latency_ns = round(1e9 * load.frames_per_query / (2 * frames_per_s))
    made.multi_stream_samples_per_query = load.frames_per_query
    made.multi_stream_target_latency_percentile = 0.9
    made.offline_expected_qps = frames_per_s
    if load.target_frames_per_s is not None:
        made.server_target_qps = load.target_frames_per_s
    made.server_target_latency_ns = round(load.latency_limit_ms * _NS_PER_MS)
    made.server_target_latency_percentile = 0.99
    made.qsl_rng_seed = made.sample_index_rng_seed = made.schedule_rng_seed = load.seed
    return made


def _log_settings(loadgen: Any, folder: str) -> Any:
    output = loadgen.LogOutputSettings()
    output.outdir, output.prefix, output.copy_summary_to_stdout = folder, _PREFIX, False
    made = loadgen.LogSettings()
    # the trace has every sample's latency from its scheduled time; the other logs have percentiles only
    made.log_output, made.enable_trace = output, True
    return made


def read_logs(folder: Path, scenario: Scenario) -> Measured:
    """Read what LoadGen wrote.

    Raises:
        RuntimeError: the logs have not what they should.
    """
    with (folder / f"{_PREFIX}trace.json").open() as trace:
        arguments = [json.loads(found[1]) for line in trace if (found := _SAMPLE.match(line))]
    samples = sorted(
        (
            Sample(
                each["sample_seq"],
                each["query_seq"],
                each["sample_idx"],
                each["issue_start_ns"] / _NS_PER_MS,
                each["complete_ns"] / _NS_PER_MS,
            )
            for each in arguments
        ),
        key=lambda sample: sample.number,
    )
    if not samples:
        raise RuntimeError(f"LoadGen's logs in {folder} have no sample")
    detail = _detail(folder / f"{_PREFIX}detail.txt")
    stopping = None
    if scenario != "Offline":
        stopping = read_early_stopping(
            bool(detail["early_stopping_met"]), str(detail["early_stopping_result"])
        )
    over_limit = cast("int", detail["result_overlatency_query_count"]) if scenario == "Server" else None
    return Measured(tuple(samples), stopping, over_limit)


def _detail(path: Path) -> dict[str, Any]:
    lines = (line.removeprefix(":::MLLOG ") for line in path.read_text().splitlines())
    return {each["key"]: each["value"] for line in lines if line for each in [json.loads(line)]}


def read_early_stopping(satisfied: bool, said: str) -> EarlyStopping:
    """LoadGen's verdict and its words, with the estimates found in them.

    Example:
        >>> read_early_stopping(True, " * Early stopping 90.0th percentile estimate: 2184909").p90_ms
        2.184909
    """
    estimates = {found[1]: int(found[2]) / _NS_PER_MS for found in _ESTIMATE.finditer(said)}
    return EarlyStopping(satisfied, estimates.get("90"), estimates.get("99"), " ".join(said.split()))
