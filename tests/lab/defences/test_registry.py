import json
from dataclasses import fields

import pytest

from siftfunnel.lab.defences.defence import ORIGINS
from siftfunnel.lab.defences.losses import LossWeights
from siftfunnel.lab.defences.registry import DEFENCES, defence_from_json, make_defence
from siftfunnel.lab.defences.siftfunnel import ABLATIONS, SiftFunnel
from siftfunnel.lab.networks.registry import NETWORKS


@pytest.mark.parametrize("name", DEFENCES)
def test_every_parameter_says_where_its_value_comes_from(name: str) -> None:
    made = DEFENCES[name]
    assert set(made.origins) == {field.name for field in fields(made)}
    assert set(made.origins.values()) <= set(ORIGINS)
    assert made.label
    assert made.source
    assert made().describe()["origins"] == dict(made.origins)


@pytest.mark.parametrize("name", DEFENCES)
def test_a_defence_survives_json(name: str) -> None:
    defence = make_defence(name)
    assert defence_from_json(json.loads(json.dumps(defence.to_json()))) == defence


def test_what_the_study_tries_of_a_defence_survives_json() -> None:
    for made in DEFENCES.values():
        for defence in (*made.variations().values(), *made.ablations().values()):
            assert defence_from_json(json.loads(json.dumps(defence.to_json()))) == defence


@pytest.mark.parametrize("name", DEFENCES)
def test_every_defence_has_its_network_in_the_cnn_family(name: str) -> None:
    assert make_defence(name).architecture("cnn") in NETWORKS


def test_an_unknown_defence_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown defence 'prayer'; known: none, gaussian-noise"):
        make_defence("prayer")


def test_each_of_the_six_parts_is_switched_off_alone() -> None:
    whole = LossWeights()
    without = {name: made for name, made in ABLATIONS.items() if name.startswith("without-")}
    assert [made.architecture("cnn") for made in without.values()] == [
        "cnn-unprotected",
        "cnn-plainfunnel",
        *["cnn-siftfunnel"] * 4,
    ]
    changed = {
        name: [
            field.name
            for field in fields(LossWeights)
            if getattr(made.weights, field.name) != getattr(whole, field.name)
        ]
        for name, made in without.items()
    }
    assert changed == {
        "without-funnel": [],
        "without-attention": [],
        "without-distance-correlation": ["distance_correlation"],
        "without-pearson": ["channel_correlation"],
        "without-l1": ["l1"],
        "without-label-smoothing": ["smoothing"],
    }


def test_an_only_ablation_has_cross_entropy_and_one_penalty() -> None:
    assert ABLATIONS["only-pearson"] == SiftFunnel(LossWeights(3.5, 0, 0.6, 0, 0))
    assert ABLATIONS["only-distance-correlation"] == SiftFunnel(LossWeights(3.5, 0.8, 0, 0, 0))
    assert ABLATIONS["only-l1"] == SiftFunnel(LossWeights(3.5, 0, 0, 5e-3, 0))
