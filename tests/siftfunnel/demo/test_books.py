"""The demo's books of several turns."""

from pathlib import Path

from siftfunnel.demo.books import Books
from tests.tinybundle import make_tiny_bundle


def test_the_last_lines_tell_of_the_whole_run_though_a_new_turn_has_just_begun(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny", "tiny")
    books = Books()
    books.begin_turn(bundle, "q6")
    outcome = {"bundle": "tiny", "codec": "q6", "outcome": "answer", "label": None, "top": [], "edge_ms": 2.0}
    books.add({**outcome, "round_trip_ms": 5.0, "payload_bytes": 100})
    heard = {"frames_intercepted": 1, "frames_scored": 1, "wire_bytes_mean": 180.0, "psnr_mean": 20.0}
    books.of_attacker = {"tiny": {**heard, "ssim_mean": 0.5}}
    books.begin_turn(bundle, "q6")
    (now,) = books.rows({"tiny": "q6"}, None)
    (whole,) = books.totals(None)
    assert (now.edge_ms, now.wire_bytes, now.psnr_db) == (None, None, None)
    assert (whole.edge_ms, whole.round_trip_ms, whole.payload_bytes) == (2.0, 5.0, 100.0)
    assert (whole.wire_bytes, whole.psnr_db, whole.ssim) == (180.0, 20.0, 0.5)
    assert whole.frames == now.frames == 1
