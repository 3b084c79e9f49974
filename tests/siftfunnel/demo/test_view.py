"""The terminal's view, as lines and as a table."""

import io
from dataclasses import replace

from rich.console import Console

from siftfunnel.demo.view import LiveView, Row, Snapshot, View, line, make_view, table

ROW = Row(
    name="bare",
    codec="q6",
    active=True,
    frames=40,
    frames_wanted=100,
    rate_fps=9.96,
    accuracy=0.925,
    edge_ms=1.234,
    round_trip_ms=5.678,
    payload_bytes=4096.4,
    wire_bytes=4223.0,
    errors=0,
    rebuilt=39,
    psnr_db=31.25,
    ssim=0.9512,
)
EMPTY = Row("shield", "q4", False, 0, None, 0.0, None, None, None, None, None, 0, 0, None, None)


def snapshot(*rows: Row) -> Snapshot:
    return Snapshot("http://127.0.0.1:8080/", False, "siftfunnel demo", rows)


def test_a_row_as_one_line_has_every_figure_with_its_unit() -> None:
    assert line(ROW) == (
        "bare (q6): 40/100 frames, 10.0/s, accuracy 92.5%, edge 1.23 ms, round trip 5.68 ms, "
        "payload 4,096 B, wire 4,223 B; attacker: 39 rebuilt, PSNR 31.2 dB, SSIM 0.951"
    )


def test_a_figure_that_is_not_there_yet_is_a_dash() -> None:
    assert line(EMPTY) == (
        "shield (q4): 0 frames, accuracy -, edge - ms, round trip - ms, payload - B, wire - B; "
        "attacker: 0 rebuilt, PSNR - dB, SSIM -"
    )


def test_plain_lines_come_no_more_often_than_asked() -> None:
    output = io.StringIO()
    view = View(output, every_s=3600)
    view.show(snapshot(ROW, EMPTY))
    view.show(snapshot(EMPTY, ROW))
    assert output.getvalue().count("\n") == 1
    assert output.getvalue().startswith("bare (q6): 40/100 frames")
    assert "shield" not in output.getvalue()


def test_networks_that_play_together_have_a_line_each() -> None:
    output = io.StringIO()
    View(output).show(snapshot(ROW, replace(EMPTY, active=True)))
    assert [line.split(" ")[0] for line in output.getvalue().splitlines()] == ["bare", "shield"]


def test_the_table_shows_both_bundles_and_the_page() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table(snapshot(ROW, EMPTY)))
    text = console.export_text()
    assert "http://127.0.0.1:8080/" in text
    assert "▶ bare" in text
    assert " shield" in text
    assert "the attacker gets" in text
    assert "31.2" in text
    assert "plaintext" in text


def test_without_a_terminal_the_view_is_plain_lines() -> None:
    assert not isinstance(make_view(headless=False, output=io.StringIO()), LiveView)
