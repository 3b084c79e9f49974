"""A cut by budget, and the words in which budgets, targets and classes are told."""

from pathlib import Path

import pytest

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split import choosing
from siftfunnel.lab.split.choosing import choose_cut, guessed_bytes
from siftfunnel.lab.split.cuts import Cut
from siftfunnel.lab.split.folder import SplitRun
from siftfunnel.lab.split.labels import read_classes
from siftfunnel.lab.split.presets import preset
from siftfunnel.lab.split.settings import (
    Budget,
    FitSettings,
    Link,
    agreement_targets,
    byte_targets,
    read_link,
    share,
)
from siftfunnel.shared.tensors import TensorSpec
from tests.lab.split.smallnets import network, residual


def cut(name: str, shape: tuple[int, ...], depth: int, mac_share: float) -> Cut:
    return Cut((TensorSpec(name, shape),), depth, 0, round(mac_share * 4e8), mac_share, is_sensible=True)


CUTS = (
    cut("early", (16, 112, 112), 1, 0.05),
    cut("middle", (40, 28, 28), 2, 0.24),
    cut("later", (40, 28, 28), 3, 0.29),
    cut("late", (192, 7, 7), 4, 0.7),
)


def funnel(cut: Cut) -> int:
    """Multiply-adds of a funnel there: 2 % of the network's."""
    return round(0.02 * cut.macs / cut.mac_share)


def test_the_smallest_tensor_that_the_device_can_bear_is_cut() -> None:
    assert choose_cut(CUTS, Budget(), funnel).name == "late"
    assert choose_cut(CUTS, Budget(mac_share=0.35), funnel).name == "later"
    # the funnel is work of the device too
    assert choose_cut(CUTS, Budget(mac_share=0.3), funnel).name == "middle"


def test_a_funnel_is_fitted_only_where_its_work_decides() -> None:
    asked: list[str] = []

    def noted(cut: Cut) -> int:
        asked.append(cut.name)
        return funnel(cut)

    choose_cut(CUTS, Budget(mac_share=0.3), noted)
    assert asked == ["later"]
    asked.clear()
    choose_cut(CUTS, Budget(mac_share=0.9), noted)
    choose_cut(CUTS, Budget(payload_bytes=2000), noted)
    assert asked == []


def test_a_slow_link_wants_a_deep_cut_and_a_slow_device_an_early_one() -> None:
    slow = Budget(link=Link(0.1, 0))
    fast = Budget(link=Link(10_000, 0))
    assert choose_cut(CUTS, slow, funnel, lambda cut: 10 * cut.mac_share, 10).name == "late"
    assert choose_cut(CUTS, fast, funnel, lambda cut: 1000 * cut.mac_share, 1000).name == "early"


def test_where_no_cut_fits_the_nearest_is_named_with_what_it_costs() -> None:
    with pytest.raises(NetworkError, match=r"nearest is middle, with 26\.0%.*1,568 bytes"):
        choose_cut(CUTS[1:3], Budget(mac_share=0.25), funnel)
    with pytest.raises(NetworkError, match=r"nearest is middle, with 24\.0%.*1,568 bytes"):
        choose_cut(CUTS[:3], Budget(payload_bytes=1500), funnel)
    assert guessed_bytes(CUTS[1]) == 1568


def test_shares_bytes_and_links_are_read() -> None:
    assert share("30%") == share("0.3") == 0.3
    assert [target.bytes for target in byte_targets("1000,1600")] == [1000, 1600]
    assert [target.name for target in agreement_targets("91%,85%")] == ["a91", "a85"]
    assert read_link("20:60") == Link(20, 60)


@pytest.mark.parametrize("text", ["40", "0%", "nan", "-5%", "abc", "%"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no share .*such as 30% or 0.3"):
        share(text)


@pytest.mark.parametrize(
    "limits", [{"mac_share": 0.0}, {"payload_bytes": 0.0}, {"payload_bytes": float("nan")}]
)
def test_a_budget_of_nothing_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Budget(**limits)  # names of limits only


@pytest.mark.parametrize("text", ["", "a", "20", "20:x", "0:5"])
def test_a_link_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--link wants"):
        read_link(text)


def test_classes_are_names_or_ids_and_names(tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text("n01,crane\nn02,crane\n")
    assert read_classes(file) == (("n01", "n02"), ("crane", "crane"))
    file.write_text("cat\ndog\n")
    assert read_classes(file) == ((), ("cat", "dog"))
    file.write_text("cat\nn1,dog\n")
    with pytest.raises(ValueError, match="ID,NAME"):
        read_classes(file)


def test_a_cut_at_which_a_target_cannot_be_reached_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(residual())
    spec = preset("zero-to-one", net.input)
    tried: list[str] = []

    def refusing(run: SplitRun, *rest: object) -> int:
        tried.append(run.cut)
        raise ValueError("no step gives 20 bytes")

    monkeypatch.setattr(choosing, "funnel_macs", refusing)
    said: list[str] = []
    settings = FitSettings(targets=byte_targets("20"))
    with pytest.raises(NetworkError, match="no cut fits the budget"):
        choosing.chosen_cut(net, spec, tmp_path, settings, Budget(mac_share=0.5), said.append)
    assert tried
    assert any("no step gives 20 bytes" in line for line in said)
