from dataclasses import replace

import pytest

from siftfunnel.lab.defences.registry import DEFENCES, make_defence
from siftfunnel.lab.networks.registry import NETWORKS
from siftfunnel.lab.study.rows import GROUPS, ROWS, expand, row
from siftfunnel.lab.study.sizes import PROFILES, profile


def test_table_2_has_every_defence_that_learns_from_scratch_in_order() -> None:
    assert GROUPS["table2"] == tuple(f"cifar10-cnn-{name}" for name in DEFENCES if name != "siftfunnel-rate")


def test_a_defence_that_learns_nothing_from_scratch_is_no_row_and_no_recipe_without_a_start() -> None:
    assert not [name for name in ROWS if "rate" in name]
    with pytest.raises(
        ValueError, match="learns nothing from scratch: say what cifar10-cnn-none begins with"
    ):
        replace(ROWS["cifar10-cnn-none"], defence=make_defence("siftfunnel-rate")).recipe(profile("cpu"))


def test_every_group_names_rows_that_exist() -> None:
    assert {name for names in GROUPS.values() for name in names} <= set(ROWS)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_row_has_a_recipe_with_a_known_network_in_every_profile(name: str) -> None:
    size = profile(name)
    for wanted in ROWS.values():
        recipe = wanted.recipe(size)
        assert recipe.architecture in NETWORKS
        assert (recipe.name, recipe.epochs, recipe.limits) == (wanted.name, size.epochs, size.limits)


@pytest.mark.parametrize("group", ["table2", "table4", "table5"])
def test_the_rows_of_a_table_differ_in_nothing_but_the_defence(group: str) -> None:
    size = profile("cpu")
    recipes = [row(name).recipe(size).to_json() for name in GROUPS[group]]
    for made in recipes:
        for key in ("name", "bundle", "defence"):
            made.pop(key)
    assert all(made == recipes[0] for made in recipes)


def test_a_group_stands_for_its_rows() -> None:
    assert expand(["table3", "cifar10-cnn-none"]) == [*GROUPS["table3"], "cifar10-cnn-none"]


def test_a_row_can_be_stopped_at_an_accuracy() -> None:
    made = row("cifar10-cnn-bido-equal@0.5")
    assert (made.name, made.stop_at_accuracy) == ("cifar10-cnn-bido-equal", 0.5)


def test_an_unknown_row_says_where_the_rows_are_listed() -> None:
    with pytest.raises(ValueError, match="siftfunnel lab recipes"):
        row("cifar10-cnn-magic")


def test_an_accuracy_outside_0_and_1_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        row("cifar10-cnn-none-equal@50")


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: brief, cpu, full"):
        profile("huge")
