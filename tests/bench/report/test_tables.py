from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel.bench.cells.result import STAGES, Cell
from siftfunnel.bench.report.fronts import front_page
from siftfunnel.bench.report.leakage import LeakageBook
from siftfunnel.bench.report.sources import Measured, read_cells
from siftfunnel.bench.report.summary import summary
from siftfunnel.bench.report.tables import pages
from siftfunnel.lab.reports.pages import to_markdown
from siftfunnel.lab.reports.table import Page, Table
from tests.bench.report import made

BOOK = LeakageBook([made.front()], {})


def document(cells_file: Path) -> Page:
    (found,) = pages(read_cells([cells_file]), BOOK)
    return found


def section(found: Page, title: str) -> Table:
    return next(each for each in found.sections if each.title == title)


def texts(found: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in found.rows]


def test_latency_bytes_accuracy_and_leakage_stand_in_one_row(cells_file: Path) -> None:
    rows = texts(section(document(cells_file), "SingleStream, wifi"))
    q4 = next(row for row in rows if row[0] == "siftfunnel, split q4")
    assert q4[2].endswith(")")
    assert q4[5:] == ["613", "673", "98.0% of 1,000", "16.4 dB, 25% retrieved"]
    assert rows[0][5:7] == ["-", "-"]
    assert rows[0][8] == "none: nothing sent"


def test_links_are_told_as_measured_from_slow_to_fast(cells_file: Path) -> None:
    rows = texts(section(document(cells_file), "Links"))
    assert [row[0] for row in rows] == ["gprs", "good-3g", "lte", "wifi"]
    assert rows[0][1] == "500 ms round trip, 20 kbit/s up, 50 kbit/s down"
    assert rows[0][2] == "500 ms round trip, 19 kbit/s up, 48 kbit/s down"


def test_stages_come_with_their_sum_and_residual(cells_file: Path) -> None:
    found = section(document(cells_file), "Stages: SingleStream, wifi")
    assert found.columns[1:] == (*STAGES, "sum", "residual")
    for row in found.rows:
        assert row[10].value is not None
        parts = [cell.value for cell in row[1:10] if cell.value is not None]
        assert abs(sum(parts) - row[10].value) < 1e-9
        assert row[11].text.endswith("%")


def test_an_overload_and_lost_frames_are_said(cells_file: Path) -> None:
    cells = (made.overloaded(made.cell(*made.WAYS[3])),)
    (found,) = pages(Measured(cells, (), ()), BOOK)
    notes = section(found, "SingleStream, wifi").notes
    assert "‡" in texts(section(found, "SingleStream, wifi"))[0][0]
    assert any("Overloaded" in note for note in notes)
    assert any("DEADLINE_EXCEEDED 7" in note for note in notes)
    assert any("3 frames were sent again" in note for note in notes)


def test_several_loads_of_one_way_are_told_apart() -> None:
    def loaded(share: float) -> Cell:
        one = made.cell(*made.WAYS[3], scenario="Server")
        asked = {"load": {"capacity_share": share}, "drop_s": 0.5 if share > 1 else 0.0}
        return replace(
            one, target_frames_per_s=100 * share, settings={"capacity_frames_per_s": 100.0, "asked": asked}
        )

    measured = Measured((loaded(0.5), loaded(1.5)), (), ())
    (found,) = pages(measured, BOOK)
    labels = [row[0] for row in texts(section(found, "Server, wifi"))]
    assert labels == ["siftfunnel, split q4, load 50%", "siftfunnel, split q4, load 150%, link down 0.5 s"]
    places = summary(measured, BOOK)["cells"]["drawnfaces"]["Server"]["wifi"]["siftfunnel"]["split"]
    assert list(places) == ["q4 load 50%", "q4 load 150%, link down 0_5 s"]


def test_what_was_skipped_is_named_with_its_reason(cells_file: Path) -> None:
    found = document(cells_file)
    assert texts(section(found, "Not measured")) == [["siftfunnel, split q8", "dsl", "Server", "no | time"]]
    assert "no \\| time" in to_markdown(found)


def test_a_figure_has_an_address_in_the_summary(cells_file: Path) -> None:
    found = summary(read_cells([cells_file]), BOOK)
    cell = found["cells"]["drawnfaces"]["SingleStream"]["wifi"]["siftfunnel"]["split"]["q4"]
    assert cell["leakage"]["psnr_db"] == 16.4
    assert cell["bytes"]["up"]["payload"] == 613
    edge = found["cells"]["drawnfaces"]["SingleStream"]["wifi"]["siftfunnel"]["edge-only"]["none"]
    assert edge["leakage"]["basis"] == "nothing sent"
    assert found["totals"]["cells"] == 20
    assert found["totals"]["links"] == 4


@pytest.fixture(scope="module")
def front() -> Page:
    """A front of attacks that were trained on, trained enough and neither, one on other pictures."""
    front = made.front()
    settled, growing, _, _, elsewhere, _, tuned, *_ = front["points"]
    settled["leakage"]["convergence"] = {"gain_db": 0.02, "interval_db": [0.01, 0.03], "more_helps": False}
    growing["leakage"]["convergence"] = {"gain_db": 0.2, "interval_db": [0.17, 0.23], "more_helps": True}
    tuned["fine_tuned"] = {"accuracy": 0.99, "accuracy_interval": [0.98, 0.995], "pictures": 1_000}
    for point in front["points"]:
        if point["leakage"] is not None:
            own = "f" * 64 if point is elsewhere else "a" * 64
            point["leakage"]["all"][point["leakage"]["attack"]]["attacked_sha256"] = own
    return front_page(front)


def test_a_front_says_bytes_accuracy_and_leakage_of_every_point(front: Page) -> None:
    (found,) = front.sections
    rows = {row[1]: row for row in texts(found)}
    assert rows["r1"][5:9] == ["1/81.9", "96.50 % [95.5, 97.5]", "-", "15.90 [15.60, 16.20] ?"]
    assert rows["r2"][7:] == ["-", "-", "-", "-"]
    assert rows["raw"][0] == "raw pixels"
    assert len(rows) == len(made.front()["points"]) - 1  # both bundles have a q4


def test_a_leak_says_where_more_training_of_the_attack_helps_and_where_nobody_tried(front: Page) -> None:
    (section,) = front.sections
    levels = [(row[1], row[8].rpartition("]")[2].strip()) for row in texts(section)]
    by_codec = dict(levels)
    assert (by_codec["q8"], by_codec["r1"], by_codec["jpeg-q75"]) == ("", "?", "")
    assert sorted(level for codec, level in levels if codec == "q4") == ["?‡", "↑"]
    assert [note[0] for note in section.notes] == ["↑", "?", "‡"]
    (drawing,) = front.drawings
    assert ">↑<" in drawing.svg


def test_a_picture_is_shown_as_answered_without_and_with_training_on_such_files(front: Page) -> None:
    rows = {row[1]: row for row in texts(front.sections[0])}
    assert rows["jpeg-q20"][6:8] == ["95.00 % [94.0, 96.0]", "99.00 % [98.0, 99.5]"]
    (drawing,) = front.drawings
    assert "JPEG of the picture, network trained on it" in drawing.svg
