"""Page and drawing of a front say what its points say."""

from xml.etree import ElementTree

import pytest

from siftfunnel.lab.front.plot import byte_ticks, plot_front
from siftfunnel.lab.front.table import accuracy_difference, leak_difference, reference_of, render_front
from tests.lab.front.fronts import codec_point, leakage, made_up_front


def row_of(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_codecs_row_has_bytes_accuracy_time_and_leak() -> None:
    row = row_of(render_front(made_up_front()), "r1")
    assert row[:6] == ["`r1`, trained for its rate", "60.0", "62", "62", "1,000", "51.2"]
    assert row[6].startswith("79.5 [73.4")
    assert row[7].startswith("-0.50 [")
    assert row[8:11] == ["100", "0.100", "Residual inverter"]
    assert row[11:] == ["15.00 [14.50, 15.50]", "-1.00 [-1.00, -1.00]", "0.500", "90.0"]


def test_a_codec_that_was_not_attacked_says_so() -> None:
    assert row_of(render_front(made_up_front()), "r2")[10:] == ["not run", "-", "-", "-", "-"]


def test_a_pictures_row_counts_the_file_and_what_is_left_of_it() -> None:
    assert row_of(render_front(made_up_front()), "jpeg-q20")[1:6] == ["412.0", "414", "414", "206.0", "206"]


def test_the_page_says_that_pictures_were_jpeg_files_before() -> None:
    page = render_front(made_up_front())
    assert "`jpeg-q75` gives back almost exactly" in page
    front = made_up_front()
    front["points"] = [point for point in front["points"] if point["codec"] != "jpeg-q75"]
    assert "gives back almost exactly" not in render_front(front)


def test_balanced_accuracy_is_told_where_it_is_another_number() -> None:
    front = made_up_front()
    assert "over classes" not in render_front(front)
    front["points"][1]["balanced_accuracy"] = 0.7
    assert "mean accuracy over classes, %: `fp32` 80.0, `q4` 70.0." in render_front(front)


def test_the_drawing_is_linked_only_where_there_is_one() -> None:
    assert "](front.svg)" in render_front(made_up_front(), "front.svg")
    assert "![" not in render_front(made_up_front())


def test_leaks_are_compared_over_the_same_pictures_and_attacks_only() -> None:
    front = made_up_front()
    reference = reference_of(front)
    assert reference is front["points"][0]
    found = leak_difference(leakage(15.0), reference)
    assert found is not None
    assert found.value == pytest.approx(-1.0)
    assert leak_difference(leakage(15.0, "rmle"), reference) is None
    other = leakage(15.0)
    other["all"]["residual"]["attacked_sha256"] = "c" * 64
    assert leak_difference(other, reference) is None
    assert leak_difference(None, reference) is None


def test_accuracy_is_compared_picture_by_picture() -> None:
    reference = codec_point("funnel", "fp32", 3076, 160)
    found = accuracy_difference(codec_point("rate", "r1", 60, 158), reference)
    assert found is not None
    assert found.value == pytest.approx(-0.01)
    assert accuracy_difference(reference, reference) is None


def test_the_drawing_is_well_formed_and_marks_every_point() -> None:
    front = made_up_front()
    svg = plot_front(front)
    root = ElementTree.fromstring(svg)
    tips = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")]
    for point in front["points"]:
        attacked = 2 if point["leakage"] else 1
        again = 2 if point["kind"] in ("jpeg", "webp") else 1
        assert sum(f", {point['codec']}: " in tip for tip in tips) == attacked * again
    assert plot_front(front) == svg


def test_without_any_leakage_there_is_one_panel() -> None:
    front = made_up_front()
    front["points"] = [{**point, "leakage": None} for point in front["points"]]
    assert "PSNR" not in plot_front(front)
    assert "PSNR" in plot_front(made_up_front())


def test_a_front_without_points_is_not_drawn() -> None:
    with pytest.raises(ValueError, match="without points"):
        plot_front({**made_up_front(), "points": []})


def test_ticks_of_the_byte_axis_are_round() -> None:
    assert byte_ticks(0.5, 1.0) == [5, 10]
