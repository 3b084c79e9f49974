from xml.etree import ElementTree

from siftfunnel.lab.audit.charts import Bar, comparison_chart, curves, histogram, nice_ticks, spread_labels

MARKS = {"Mean picture": 12.0, "4x4 thumbnail": 17.0, "8x8 thumbnail": 20.0}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_a_comparison_names_attacks_and_reference_rows() -> None:
    svg = comparison_chart([Bar("rMLE & more", 15.0, 14.5, 15.5, 19.0, True), Bar("R", 6, 6, 6, 7)], MARKS)
    assert {"rMLE & more", "R", *MARKS} <= set(texts(svg))
    assert "rMLE & more 15.0 dB" in ElementTree.fromstring(svg).attrib["aria-label"]


def test_a_histogram_has_as_many_pictures_as_it_was_given() -> None:
    svg = histogram([10.0] * 20 + [15.0] * 20, MARKS, "Spread")
    heights = [float(bin.attrib["height"]) for bin in ElementTree.fromstring(svg).iter("rect")]
    assert len(heights) == 2
    assert heights[0] == heights[1] == 154.0


def test_a_logarithmic_axis_leaves_out_what_is_not_positive() -> None:
    svg = curves({"a": [1.0, 0.0, 0.01]}, across="steps", upward="loss", logarithmic=True)
    (line,) = ElementTree.fromstring(svg).iter("polyline")
    assert len(line.attrib["points"].split()) == 2


def test_a_curve_that_does_not_move_is_still_drawn() -> None:
    assert "polyline" in curves({"a": [2.0, 2.0]}, across="steps", upward="loss")


def test_ticks_are_round_and_within() -> None:
    assert nice_ticks(5.2, 21.9) == [10.0, 15.0, 20.0]
    assert nice_ticks(0.0, 0.0) == [0.0]


def test_labels_do_not_overlap_and_stay_inside() -> None:
    placed = spread_labels({"a": 10.0, "b": 50.0, "c": 60.0, "d": 200.0}, 30, 100)
    assert placed == {"d": 100, "c": 60.0, "b": 30.0, "a": 0.0}
