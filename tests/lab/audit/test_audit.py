import argparse
import json
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from siftfunnel.lab.attacks.registry import ATTACKS
from siftfunnel.lab.audit.audit import audit
from siftfunnel.lab.audit.budgets import BUDGETS, Budget
from siftfunnel.lab.audit.cli import add_audit_parser
from siftfunnel.lab.audit.subject import Request
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.defences.registry import make_defence
from siftfunnel.lab.evaluation.places import PlaceError
from siftfunnel.lab.evaluation.ranking import mean_psnr
from siftfunnel.lab.evaluation.suite import Suite
from siftfunnel.lab.targets.edges import EdgeError
from siftfunnel.lab.targets.target import Target, target_at, target_of_foreign
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.lab.training.recipes import recipe
from siftfunnel.lab.training.runs import train_recipe
from siftfunnel.shared.bundle import Bundle
from tests.lab.pictures import write_data_directory
from tests.tinybundle import make_tiny_bundle

CPU = torch.device("cpu")
TINY = Budget(
    name="tiny",
    suite=Suite.of(
        "tiny",
        {
            "generative-black-box": {"epochs": 2, "width": 8, "learning_rate": 1e-2},
            "residual": {"epochs": 2, "widths": (8, 8, 8), "blocks": (1, 0, 0), "batch": 8},
            "rmle": {"iterations": 4, "restarts": 2, "learning_rates": (0.1,), "tv_weights": (0.0,)},
        },
        auxiliary=40,
    ),
    measured=12,
    information_pictures=24,
    information_steps=2,
    by_heart_epochs=2,
    half_pictures=8,
)
RESIDUAL = Suite("tiny-residual", (TINY.suite.attack("residual"),))
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=240, test=12, size=16)


def tiny_bundle(folder: Path, **change: Any) -> Bundle:
    fitting = {"classes": ("blue", "green", "red"), "shape": (4, 4, 4), "input_size": 16, **change}
    return make_tiny_bundle(folder, name="cifar10-tiny", **fitting)


def wanted(out: Path, pictures_at: Path, **change: Any) -> Request:
    return replace(Request(out=out, budget=TINY, pictures=10), **{"data": pictures_at, **change})


def quiet(text: str) -> None:
    """Progress is for people."""


@pytest.fixture(scope="module")
def audited(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Target, dict[str, Any]]:
    """A bundle of three classes, audited white-box once for all tests here."""
    folder = tmp_path_factory.mktemp("audited")
    target = target_at(tiny_bundle(folder / "bundle").directory, CPU)
    return folder / "out", target, audit(target, wanted(folder / "out", data), quiet)


def test_the_figures_of_an_audit_are_those_that_every_version_of_the_lab_got(
    audited: tuple[Path, Target, dict[str, Any]],
) -> None:
    found = {key: mean_psnr(entry) for key, entry in audited[2]["attacks"].items()}
    assert found == pytest.approx(
        {"generative-black-box": 13.536, "residual": 13.655, "rmle": 16.825}, abs=0.05
    )


class Page(HTMLParser):
    """Tags that are open, and what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_bundle_is_attacked_with_gradients_and_judged(audited: tuple[Path, Target, dict[str, Any]]) -> None:
    out, target, report = audited
    assert target.victim.white_box
    assert set(report["attacks"]) == {"generative-black-box", "residual", "rmle"}
    assert report["strongest"] in report["attacks"]
    assert report["accuracy"]["measured"]
    assert report["wire"]["origin"] == "the bundle's"
    assert set(report["wire"]["codecs"]) == {"fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"}
    assert report["wire"]["jpeg_quality_75"]["payload_bytes_mean"] > 300
    assert {check["key"] for check in report["checks"]} == {
        "white_box",
        "feature_loss",
        "starts",
        "budget",
        "by_heart",
        "domain",
        "mean_image",
    }
    assert {entry["name"] for entry in report["not_tried"]} == set(ATTACKS) - set(TINY.suite.every)
    assert (
        json.loads((out / "report.json").read_text())["verdict"]["headline"] == report["verdict"]["headline"]
    )


def test_the_page_is_well_formed_and_needs_nothing_but_itself(
    audited: tuple[Path, Target, dict[str, Any]],
) -> None:
    text = (audited[0] / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.of("h1")) == 1
    told = {heading.get("id") for heading in page.of("h2")}
    assert {"attacks", "pictures", "risks", "checks", "cost", "made"} <= told
    assert all(image["alt"] for image in page.of("img"))
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in page.of("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.of("svg"))
    assert "http" not in text
    assert not page.of("script")
    assert not page.of("link")
    sections = {attributes["id"] for _, attributes in page.tags if attributes.get("id")}
    assert {(link["href"] or "")[1:] for link in page.of("a")} <= sections


def test_the_page_says_verdict_lower_bound_and_every_check(
    audited: tuple[Path, Target, dict[str, Any]],
) -> None:
    out, _, report = audited
    text = (out / "report.html").read_text()
    assert report["verdict"]["headline"] in text
    assert "a lower bound on the leak" in text
    assert all(check["title"] in text for check in report["checks"])


def test_the_same_command_continues_and_computes_nothing_twice(
    audited: tuple[Path, Target, dict[str, Any]], data: Path
) -> None:
    out, target, report = audited
    before = {path: path.stat().st_mtime_ns for path in (out / "done").iterdir()}
    os.unlink(out / "report.html")
    os.unlink(out / "done" / "by-heart.json")
    again = audit(target, wanted(out, data), quiet)
    assert again["attacks"] == report["attacks"]
    assert again["checks"] == report["checks"]
    assert (out / "report.html").is_file()
    kept = {
        path: path.stat().st_mtime_ns for path in (out / "done").iterdir() if path.name != "by-heart.json"
    }
    assert kept == {path: when for path, when in before.items() if path.name != "by-heart.json"}


def test_a_folder_is_bound_to_its_pictures(audited: tuple[Path, Target, dict[str, Any]], data: Path) -> None:
    out, target, _ = audited
    with pytest.raises(RunFolderError, match="choose another folder"):
        audit(target, wanted(out, data, pictures=9), quiet)


def test_a_foreign_edge_of_odd_size_is_attacked_by_queries(data: Path, tmp_path: Path) -> None:
    made = tiny_bundle(tmp_path / "bundle", shape=(3, 5, 5), input_size=15)
    write = {
        "name": "door camera",
        "input": {"height": 15, "width": 15, "mean": [0.5] * 3, "std": [0.25] * 3},
        "feature": [3, 5, 5],
    }
    (tmp_path / "spec.json").write_text(json.dumps(write))
    target = target_of_foreign(made.path("edge.onnx"), tmp_path / "spec.json", CPU)
    assert not target.victim.white_box
    with pytest.raises(DataError, match="give --images FOLDER, or --dataset"):
        audit(target, wanted(tmp_path / "out", data), quiet)
    report = audit(target, wanted(tmp_path / "out", data, dataset="cifar10"), quiet)
    assert set(report["attacks"]) == {"generative-black-box", "residual"}
    assert report["accuracy"]["reason"].startswith("there is no cloud half")
    assert report["target"]["attacked_as"] == [3, 8, 8]
    assert report["wire"]["default"] is None
    reasons = {entry["name"]: entry["reason"] for entry in report["not_tried"]}
    assert reasons["rmle"] == "it needs gradients, and this edge half can only be queried"
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Accuracy was not measured: there is no cloud half" in text
    assert "black-box: the edge half is queried" in text


def test_an_edge_of_a_fixed_batch_is_fed_one_by_one(tmp_path: Path) -> None:
    made = tiny_bundle(tmp_path / "bundle")
    model = onnx.load(str(made.path("edge.onnx")))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(tmp_path / "edge.onnx"))
    spec = {"input": {"height": 16, "width": 16, "mean": [0.5] * 3, "std": [1] * 3}, "feature": [4, 4, 4]}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    fixed = target_of_foreign(tmp_path / "edge.onnx", tmp_path / "spec.json", CPU)
    free = target_of_foreign(made.path("edge.onnx"), tmp_path / "spec.json", CPU)
    x = torch.rand(3, 3, 16, 16)
    assert torch.allclose(fixed.victim.features(x), free.victim.features(x), atol=1e-6)


def test_an_edge_that_breaks_its_promise_is_refused(tmp_path: Path) -> None:
    made = tiny_bundle(tmp_path / "bundle")
    spec = {"input": {"height": 16, "width": 16, "mean": [0.5] * 3, "std": [1] * 3}, "feature": [4, 8, 8]}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(EdgeError, match=r"makes features of shape \[4, 4, 4\], \[4, 8, 8\] is promised"):
        target_of_foreign(made.path("edge.onnx"), tmp_path / "spec.json", CPU)
    (tmp_path / "edge.onnx").write_bytes(b"no model")
    with pytest.raises(EdgeError, match="not a model"):
        target_of_foreign(tmp_path / "edge.onnx", tmp_path / "spec.json", CPU)


def test_neither_bundle_nor_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a bundle"):
        target_at(tmp_path, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auxiliary": 10_000}, "--auxiliary 10000: cifar10 has"),
        ({"auxiliary": 5}, "the attacker needs 40 pictures"),
        ({"pictures": 3}, "an audit needs 8 pictures"),
        ({"data": None}, "needs --data"),
        ({"dataset": "cats"}, "unknown data set"),
    ],
)
def test_data_that_will_not_do_says_why(
    data: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    target = target_at(tiny_bundle(tmp_path / "bundle").directory, CPU)
    with pytest.raises(DataError, match=message):
        audit(target, wanted(tmp_path / "out", data, **change), quiet)


def test_an_unknown_attack_lists_the_known_ones(data: Path, tmp_path: Path) -> None:
    target = target_at(tiny_bundle(tmp_path / "bundle").directory, CPU)
    with pytest.raises(ValueError, match="unknown attack 'magic'; known: rmle-authors"):
        audit(target, wanted(tmp_path / "out", data, attacks=("magic",)), quiet)


def test_pictures_are_not_written_into_this_repository(data: Path, tmp_path: Path) -> None:
    target = target_at(tiny_bundle(tmp_path / "bundle").directory, CPU)
    place = Path(__file__).parent / "report"
    with pytest.raises(PlaceError, match="choose a folder that is ignored"):
        audit(target, wanted(place, data), quiet)
    assert not place.exists()


def test_a_run_whose_defence_draws_noise_is_overheard_several_times(data: Path, tmp_path: Path) -> None:
    noisy = replace(
        recipe("cifar10_unprotected"),
        defence=make_defence("gaussian-noise"),
        width=8,
        input_size=16,
        epochs=1,
        batch_size=32,
    )
    train_recipe(noisy, tmp_path / "run", data, None, CPU)
    target = target_at(tmp_path / "run", CPU)
    twice = replace(TINY, suite=replace(RESIDUAL, frames=2))
    report = audit(target, wanted(tmp_path / "out", data, budget=twice), quiet)
    assert set(report["attacks"]) == {"residual", "residual-averaged-2"}
    assert report["attacks"]["residual-averaged-2"]["label"] == "Residual inverter, 2 looks averaged"
    assert report["target"]["kind"] == "run"
    assert report["target"]["stochastic"]
    assert report["wire"]["origin"] == "siftfunnel's, calibrated on the attacker's pictures"
    assert (
        "each picture is overheard up to 2 times and averaged" in (tmp_path / "out/report.html").read_text()
    )


def command(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_audit_parser(parser.add_subparsers())
    return parser.parse_args(["audit", *map(str, words)])


def test_the_command_says_where_the_report_lies(
    audited: tuple[Path, Target, dict[str, Any]],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _, report = audited
    monkeypatch.setitem(BUDGETS, "standard", TINY)
    words = command(
        out.parent / "bundle", "--data", data, "--out", out, "--pictures", "10", "--device", "cpu"
    )
    assert words.run(words) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}: {report['verdict']['headline']}\n"


@pytest.mark.parametrize(
    "words", [(), ("bundle", "--edge", "e", "--spec", "s"), ("--edge", "e"), ("--spec", "s")]
)
def test_the_command_wants_one_target(words: tuple[str, ...]) -> None:
    asked = command(*words)
    with pytest.raises(ValueError, match="give either a bundle or run folder, or both --edge FILE"):
        asked.run(asked)
