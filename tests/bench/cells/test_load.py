import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from siftfunnel.bench.cells.load import Load, Measured, Sample, complete, generate, read_early_stopping
from siftfunnel.bench.cells.result import SCENARIOS, Scenario

pytest.importorskip("mlperf_loadgen", reason="needs the extra bench")


class Answerer:
    """Completes samples on a thread, in their order."""

    def __init__(self) -> None:
        self.issued: list[int] = []
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def issue(self, samples: Sequence[Any]) -> None:
        for sample in samples:
            self.issued.append(sample.index)
            self._waiting.put(sample.id)

    def stop(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (identity := self._waiting.get()) is not None:
            complete(identity)


@pytest.fixture
def answerer() -> Iterator[Answerer]:
    made = Answerer()
    yield made
    made.stop()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_gives_each_frames_latency_in_the_order_of_issue(
    scenario: Scenario, answerer: Answerer
) -> None:
    load = Load(scenario, 0.2, 0.2, target_frames_per_s=200.0)
    measured = generate(load, answerer.issue, 5, 500.0)
    assert [sample.picture for sample in measured.samples] == answerer.issued
    assert [sample.number for sample in measured.samples] == list(range(len(answerer.issued)))
    assert all(sample.latency_ms >= sample.late_ms >= 0 for sample in measured.samples)
    assert (measured.early_stopping is None) == (scenario == "Offline")
    assert (measured.over_limit is None) == (scenario != "Server")
    queries = len(measured.latencies_ms(scenario))
    assert queries == len(answerer.issued) // (8 if scenario == "MultiStream" else 1)


def test_a_run_goes_on_until_the_rule_has_enough_queries(answerer: Answerer) -> None:
    measured = generate(Load("SingleStream", 0.001, 20.0, queries=64), answerer.issue, 5, 5000.0)
    assert len(measured.samples) >= 64
    assert measured.early_stopping is not None
    assert measured.early_stopping.satisfied
    assert measured.early_stopping.p90_ms is not None


def test_a_query_of_many_frames_takes_as_long_as_its_last_frame() -> None:
    samples = tuple(Sample(n, n // 2, 0, 0.0, latency) for n, latency in enumerate([5.0, 3.0, 1.0, 2.0]))
    assert Measured(samples, None, None).latencies_ms("MultiStream") == [5.0, 2.0]
    assert Measured(samples, None, None).latencies_ms("Offline") == [5.0, 3.0, 1.0, 2.0]


def test_the_rules_words_give_its_estimates() -> None:
    said = (
        " * Processed at least 64 queries (700).\n * Early stopping 90.0th percentile estimate: 2500000\n"
        " * Early stopping 99.0th percentile estimate: 7000000"
    )
    found = read_early_stopping(True, said)
    assert (found.p90_ms, found.p99_ms) == (2.5, 7.0)
    too_short = read_early_stopping(
        False, " * Only processed 3 queries.\n * Need to process at least 64 queries"
    )
    assert (too_short.p90_ms, too_short.p99_ms) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0.0},
        {"at_most_s": 0.5},
        {"queries": 0},
        {"target_frames_per_s": 0.0},
        {"capacity_share": 0.0},
    ],
)
def test_a_load_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"above 0|at least 1|more than at_most_s"):
        Load(**({"scenario": "Server", "seconds": 1.0, "at_most_s": 1.0} | wrong))
