"""Risks beside a control that knows the answer only, and what lengths tell."""

import numpy as np
import pytest
import torch

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.audit.lengths import PADDINGS, length_figures
from siftfunnel.lab.audit.risks import ATTRIBUTES, another_view, excess, risk_figures
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.identity import Judge, judge_of
from siftfunnel.lab.metrics.recogniser import RecogniserSettings
from tests.lab.attacks.tiny import shapes

OWN = shapes(120, seed=5)
SENT = to_floats(shapes(40, seed=6))


@pytest.fixture(scope="module")
def judge() -> Judge:
    images = ImageSet(OWN.numpy(), np.zeros(len(OWN), np.int64), ("all",))
    return judge_of(images, None, RecogniserSettings(width=4, steps=40, batch=32))


def test_the_picture_itself_singles_out_and_betrays_what_nobody_asked_for(judge: Judge) -> None:
    found = risk_figures(SENT, SENT, to_floats(OWN), judge)
    assert (found["singling_out"]["attack"], found["singling_out"]["control"]) == (1.0, 1 / 40)
    assert found["inference"]["attack"] > 0.9
    assert set(found["inference_by_attribute"]) == set(ATTRIBUTES)
    assert found["inference"]["excess"] > 0.5


def test_one_answer_for_all_exceeds_no_control(judge: Judge) -> None:
    mean = SENT.mean(0, keepdim=True).expand_as(SENT)
    found = risk_figures(SENT, mean, to_floats(OWN), judge)
    for risk in ("singling_out", "linkability"):
        assert found[risk]["attack"] == pytest.approx(1 / 40)
        assert found[risk]["excess"] == pytest.approx(0, abs=1e-9)
    low, _ = found["inference"]["ci95"]
    assert low < 0.1


def test_the_control_is_as_good_as_the_answer_lets_it_be(judge: Judge) -> None:
    answers = np.arange(40) // 2
    found = risk_figures(SENT, SENT, to_floats(OWN), judge, answers_N=answers)
    assert found["singling_out"]["control"] == 0.5
    named = risk_figures(SENT, SENT, to_floats(OWN), judge, answers_N=np.arange(40))
    assert (named["singling_out"]["control"], named["singling_out"]["excess"]) == (1.0, 0.0)


def test_pictures_of_one_person_are_linked_to_one_another(judge: Judge) -> None:
    both = torch.cat([SENT[:10], another_view(SENT[:10]), SENT[10:15]])
    people = np.array([*range(10), *range(10), *range(10, 15)])
    found = risk_figures(both, both, to_floats(OWN), judge, people_N=people)["linkability"]
    # who is there once has nothing to be linked to
    assert found["pictures"] == 20
    assert found["control"] == pytest.approx(1 / 24)


def test_excess_is_a_share_of_what_the_control_leaves() -> None:
    found = excess(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.2, 0.2, 0.2, 0.2]))
    assert found["excess"] == pytest.approx(0.375)
    assert found["ci95"][0] < 0.375 < found["ci95"][1]


def test_padding_costs_bytes_and_tells_less() -> None:
    sizes = np.array([70, 70, 81, 90, 95, 120, 120, 121])
    found = length_figures(sizes, None)
    assert found["none"]["overhead"] == 0
    assert found["largest"]["bits"] == 0
    assert found["largest"]["overhead"] == pytest.approx(121 * 8 / sizes.sum() - 1)
    assert found["blocks"]["distinct"] == 2
    assert [found[name]["bits"] for name in ("none", "padme", "largest")] == sorted(
        (found[name]["bits"] for name in ("none", "padme", "largest")), reverse=True
    )
    assert all((PADDINGS[name](sizes) >= sizes).all() for name in PADDINGS)


def test_lengths_that_follow_the_class_betray_it_until_they_are_padded() -> None:
    classes = np.repeat([0, 1, 2], 40)[np.random.default_rng(0).permutation(120)]
    sizes = 60 + 10 * classes
    found = length_figures(sizes, classes)
    assert found["none"]["class"]["right"] == 1
    assert found["none"]["class"]["gain_ci95"][0] > 0.3
    assert found["largest"]["class"]["right"] == found["largest"]["class"]["commonest"]
