"""The registry of attacks."""

import importlib
import pkgutil

import pytest

import siftfunnel.lab.attacks
from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.registry import ATTACKS, make_attack


def every_attack() -> set[type[Attack]]:
    """All concrete attacks that any file of the package defines."""
    for module in pkgutil.iter_modules(siftfunnel.lab.attacks.__path__):
        importlib.import_module(f"siftfunnel.lab.attacks.{module.name}")
    found: set[type[Attack]] = set()
    waiting = [Attack]
    while waiting:
        for made in waiting.pop().__subclasses__():
            waiting.append(made)
            if "name" in vars(made):
                found.add(made)
    return {made for made in found if made.__module__.startswith("siftfunnel.lab.attacks.")}


def test_every_attack_is_in_the_registry_under_its_own_name() -> None:
    assert set(ATTACKS.values()) == every_attack()
    assert all(made.name == name for name, made in ATTACKS.items())


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_has_a_default_budget_and_says_where_it_comes_from(name: str) -> None:
    attack = make_attack(name)
    assert attack.label
    assert attack.source
    assert attack.access in ("white-box", "gray-box", "black-box", "no-query")
    assert attack.budget()


def test_a_budget_is_taken_over() -> None:
    assert make_attack("rmle", iterations=7).budget()["iterations"] == 7


def test_an_unknown_attack_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown attack 'magic'; known: rmle-authors, rmle, "):
        make_attack("magic")
