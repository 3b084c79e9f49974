import json
from pathlib import Path

import pytest

from siftfunnel.lab.reports.prose import ProseError, render_prose
from siftfunnel.lab.reports.study.results import RESULTS

DOCS = Path(__file__).resolve().parents[3] / "docs"


def render(template: str, results: Path) -> str:
    return render_prose(template, results, DOCS)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "cpu").mkdir()
    for row, mean in (("a", 20.0), ("b", 17.5)):
        made = {
            "accuracy": {"test": 0.753},
            "attacks": {"best": {"psnr": mean, "label": "Best"}, "worse": {"psnr": 1.0}},
            "strongest": "best",
        }
        (tmp_path / "cpu" / f"{row}.json").write_text(json.dumps(made))
    return tmp_path


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{cpu/a : attacks.best.psnr : .1f}} dB", "20.0 dB"),
        ("{{cpu/a : attacks.strongest.psnr : .2f}}", "20.00"),
        ("{{cpu/a : attacks.best.psnr - cpu/b : attacks.best.psnr : +.1f}}", "+2.5"),
        ("{{cpu/a : accuracy.test : .1%}}", "75.3%"),
        ("{{cpu/a : strongest}} and {{cpu/b : attacks.strongest.label}}", "best and Best"),
        ("no figure", "no figure"),
    ],
)
def test_a_reference_becomes_its_figure(results: Path, template: str, text: str) -> None:
    assert render(template, results) == text


def test_a_difference_of_results_on_different_pictures_is_refused(results: Path) -> None:
    path = results / "cpu/b.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": {"parts": {"test": "others"}}}))
    with pytest.raises(ProseError, match="on different pictures; measure both rows anew"):
        render("{{cpu/a : attacks.best.psnr - cpu/b : attacks.best.psnr : .1f}}", results)


MINIATURE = Path(__file__).parent / "miniature"


def test_a_table_has_the_rows_that_were_run_and_the_columns_named() -> None:
    text = render("<!-- table mini/2/summary : Accuracy %, ours; PSNR dB, one frame -->", MINIATURE)
    head, _, *rows = text.splitlines()
    assert head == "| Defence | Accuracy %, ours | PSNR dB, one frame |"
    assert rows[0] == "| Unprotected | 62.0 [59.0, 65.0] | 21.25 [21.00, 21.50] |"
    assert not any("VIB" in row for row in rows)
    with pytest.raises(ProseError, match="has no column Colour"):
        render("<!-- table mini/2/summary : Colour -->", MINIATURE)
    assert "Not measured yet" in render("<!-- table mini/5/summary : Accuracy %, ours -->", MINIATURE)


def test_a_statement_stands_only_where_the_figures_bear_it(results: Path) -> None:
    below = "cpu/{} : attacks.best.psnr < cpu/{} : attacks.best.psnr"
    template = f"<!-- when {below} -->less<!-- else -->more<!-- end when -->"
    assert [render(template.format(*pair), results) for pair in ("ba", "ab")] == ["less", "more"]
    with pytest.raises(ProseError, match="is not ROW : PATH < ROW : PATH"):
        render("<!-- when cpu/a -->x<!-- end when -->", results)


def test_a_figure_that_was_measured_on_pictures_in_class_order_is_in_no_prose(results: Path) -> None:
    path = results / "cpu/a.json"
    old = {"mine": {"nats": 3.15}, "info_nce": {"nats": 2.0}, "distance_correlation_unbiased": 0.115}
    path.write_text(json.dumps({"information": old}))
    assert render("{{cpu/a : information.info_nce.nats : .1f}}", results) == "2.0"
    for figure in ("mine.nats", "distance_correlation_unbiased"):
        with pytest.raises(ProseError, match="stopped at"):
            render("{{cpu/a : information." + figure + " : .2f}}", results)
    path.write_text(json.dumps({"information": {**old, "distance_correlation_pictures": 1000}}))
    assert render("{{cpu/a : information.distance_correlation_unbiased : .3f}}", results) == "0.115"


def test_a_correlation_over_rows_is_a_figure_too() -> None:
    place = "cpu/predictors/cifar10-cnn : PSNR of the strongest attack.Entropy-coded bits"
    text = render("{{" + place + ".rho : +.2f}} {{" + place + ".rows : .0f}}", RESULTS)
    found, rows = map(float, text.split())
    assert -1 <= found <= 1
    assert rows >= 5


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{cpu/c : accuracy.test : .1f}}", "cpu/c: no such result"),
        ("{{cpu/a : attacks.magic.psnr : .1f}}", "stopped at magic"),
        ("{{cpu/a}}", "ROW : PATH : FORMAT"),
    ],
)
def test_a_reference_that_nothing_answers_is_named(results: Path, template: str, message: str) -> None:
    with pytest.raises(ProseError, match=message):
        render(template, results)


def test_the_findings_are_what_their_template_and_the_results_give() -> None:
    template = (DOCS / "findings.in.md").read_text(encoding="utf-8")
    assert render(template, RESULTS) == (DOCS / "findings.md").read_text(encoding="utf-8"), (
        "run `make lab-tables`"
    )
