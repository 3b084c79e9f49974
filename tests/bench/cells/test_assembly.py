import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.bench.cells.assembly import assemble, percentiles, split_way
from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import RunRecord
from siftfunnel.bench.cells.result import BothWays, EarlyStopping, LayerBytes, Stages
from siftfunnel.bench.links.probe import Calibration, Way
from siftfunnel.bench.stored import as_json, read

CALIBRATION = Calibration(100.0, Way(800.0, 60.0, 61.0, 0.0), Way(1_600.0, 40.0, 41.0, 0.0))


def run_record(**changes: Any) -> RunRecord:
    """A run of ten frames, with fields replaced."""
    values: dict[str, Any] = {
        "frames": 10,
        "warm_up_frames": 3,
        "seconds": 2.0,
        "latencies_ms": tuple(float(n) for n in range(100, 110)),
        "stages_ms": Stages(0.0, 1.0, 2.0, 0.5, 111.0, 0.25, 0.25, 4.0, None),
        "residual": 0.01,
        "bytes": BothWays(LayerBytes(900.0, 1000.0, 1200.0, None), LayerBytes(100.0, 200.0, 300.0, 400.0)),
        "correct": 8,
        "judged": 9,
        "errors": {"INTERNAL": 1},
        "frames_resent": 2,
        "late": None,
        "early_stopping": None,
        "capacity_frames_per_s": None,
        "target_frames_per_s": None,
        "unanswered_at_end": None,
        "overloaded": False,
    }
    return RunRecord(**(values | changes))


def test_a_cell_pools_its_runs(planned: PlannedCell) -> None:
    cell = assemble(planned, [run_record(), run_record(frames=30, seconds=3.0)], "tun", CALIBRATION)
    assert (cell.frames, cell.correct, cell.judged, cell.errors) == (40, 16, 18, {"INTERNAL": 2})
    assert cell.frames_per_s == (40 - 2) / 5
    assert cell.bytes.up.payload == 1800 / 40
    assert (cell.bytes.up.link, cell.bytes.down.link) == (None, 20.0)
    assert cell.latency_ms.p50 == 105.0
    assert [each.frames_per_s for each in cell.per_repeat] == [4.5, round(29 / 3, 3)]
    assert planned.is_done_by(cell)


def test_a_layer_that_one_run_could_not_measure_is_not_measured(planned: PlannedCell) -> None:
    lost = run_record(bytes=BothWays(LayerBytes(900.0, None, None, None), LayerBytes(9.0, None, None, None)))
    up = assemble(planned, [run_record(), lost], "tun", CALIBRATION).bytes.up
    assert (up.payload, up.message, up.tcp) == (90.0, None, None)


def test_one_overloaded_run_makes_the_cell_an_overload(planned: PlannedCell) -> None:
    runs = [run_record(target_frames_per_s=9.0), run_record(overloaded=True, late=4, target_frames_per_s=9.0)]
    cell = assemble(planned, runs, "tun", None)
    assert cell.overloaded
    assert (cell.late, cell.target_frames_per_s) == (4, 9.0)


def test_the_way_is_split_by_delay_rate_and_bytes(planned: PlannedCell) -> None:
    # 100 bytes at 800 kbit/s take 1 ms, 20 bytes at 1,600 take 0.1 ms; 9.9 ms are left, five sixths go up
    up_ms, down_ms = split_way(111.0, 100.0, 20.0, CALIBRATION)
    assert up_ms == pytest.approx(61 + 9.9 * 5 / 6)
    assert down_ms == pytest.approx(40.1 + 9.9 / 6)
    stages = assemble(planned, [run_record()], "tun", CALIBRATION).stages_ms
    assert stages.wire is not None
    assert stages.return_ is not None
    assert stages.wire + stages.return_ == pytest.approx(111.0, abs=1e-3)


@given(st.floats(0.001, 1e5), st.floats(0, 1e7), st.floats(0, 1e7), st.sampled_from([None, CALIBRATION]))
def test_the_two_ways_add_up_and_none_is_negative(
    total_ms: float, up_bytes: float, down_bytes: float, calibration: Calibration | None
) -> None:
    up_ms, down_ms = split_way(total_ms, up_bytes, down_bytes, calibration)
    assert min(up_ms, down_ms) >= 0
    assert up_ms + down_ms == pytest.approx(total_ms, rel=1e-6)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_of_the_sample_in_order(values: list[float]) -> None:
    p50, p90, p99 = percentiles(values)
    assert p50 <= p90 <= p99
    assert {p50, p90, p99} <= set(values)


def test_a_run_reads_back_as_it_was_written() -> None:
    record = run_record(early_stopping=EarlyStopping(True, 164.0, None, "satisfied"))
    assert read(RunRecord, json.loads(json.dumps(as_json(record))), "a run") == record
