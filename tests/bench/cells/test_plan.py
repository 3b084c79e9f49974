from pathlib import Path
from typing import Any

import pytest

from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.pictures import PictureSet, read_pictures
from siftfunnel.bench.cells.plan import Wish, make_plan
from siftfunnel.bench.cells.result import MODES
from siftfunnel.bench.links.profiles import link_profile
from siftfunnel.shared.bundle import Bundle
from tests.bench.cells.samples_of_pictures import make_pictures
from tests.tinybundle import make_tiny_bundle

Sets = tuple[Bundle, Bundle, PictureSet]


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    return (
        make_tiny_bundle(tmp_path / "plain", "plain"),
        make_tiny_bundle(tmp_path / "safe", "safe", defence="siftfunnel"),
        read_pictures(make_pictures(tmp_path / "pictures"), 6),
    )


def wish(bundles: list[Bundle], pictures: PictureSet, **changes: Any) -> Wish:
    values: dict[str, Any] = {
        "bundles": [(bundle, pictures) for bundle in bundles],
        "modes": MODES,
        "codecs": None,
        "links": [link_profile("wifi")],
        "loads": [Load("SingleStream", 1.0, 1.0)],
        "repeats": 1,
    }
    return Wish(**(values | changes))


def test_whole_networks_are_the_unprotected_ones(sets: Sets) -> None:
    plain, safe, pictures = sets
    plan, skipped = make_plan(wish([plain, safe], pictures))
    assert [(cell.bundle.name, cell.mode, cell.codec) for cell in plan] == [
        ("plain", "edge-only", ""),
        ("plain", "cloud-only", "jpeg-75"),
        ("plain", "cloud-only", "webp-75"),
        ("plain", "raw-features", "fp32"),
        ("plain", "split", "q6"),
        ("safe", "raw-features", "fp32"),
        ("safe", "split", "q6"),
    ]
    assert skipped == []


def test_without_an_unprotected_bundle_they_are_left_out_by_name(sets: Sets) -> None:
    _, safe, pictures = sets
    plan, skipped = make_plan(wish([safe], pictures))
    assert {cell.mode for cell in plan} == {"raw-features", "split"}
    assert [each.cell["mode"] for each in skipped] == ["edge-only", "cloud-only", "cloud-only"]
    assert "unprotected" in skipped[0].why


def test_codecs_go_to_the_mode_that_has_them(sets: Sets) -> None:
    plain, _, pictures = sets
    plan, _ = make_plan(wish([plain], pictures, codecs=["q8", "jpeg-30", "q4"]))
    chosen = {mode: [cell.codec for cell in plan if cell.mode == mode] for mode in MODES}
    assert chosen == {
        "edge-only": [""],
        "cloud-only": ["jpeg-30"],
        "raw-features": ["fp32"],
        "split": ["q8", "q4"],
    }


def test_links_come_one_after_the_other_and_allow_servers_their_round_trip(sets: Sets) -> None:
    plain, _, pictures = sets
    loads = [Load("SingleStream", 1.0, 1.0), Load("Server", 1.0, 1.0, latency_limit_ms=50.0)]
    links = [link_profile("wifi"), link_profile("slow-4g")]
    plan, _ = make_plan(wish([plain], pictures, modes=["split"], links=links, loads=loads))
    assert [(cell.link.name, cell.load.scenario) for cell in plan] == [
        ("wifi", "SingleStream"),
        ("wifi", "Server"),
        ("slow-4g", "SingleStream"),
        ("slow-4g", "Server"),
    ]
    assert plan[3].load.latency_limit_ms == 50.0 + links[1].round_trip_ms


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codecs": ["q99"]}, "q99"),
        ({"codecs": ["jpeg-0"]}, "jpeg-0"),
        ({"repeats": 0}, "at least 1"),
        ({"modes": []}, "nothing to measure"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(sets: Sets, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wish([sets[0]], sets[2], **changes)
