import pytest
import torch

from siftfunnel.lab.attacks.generative import GenerativeBlackBox, GenerativeGrayBox, guess_layout
from siftfunnel.lab.networks.split import count_parameters
from tests.lab.attacks.tiny import victim_of_shape


def parameters(attack: GenerativeBlackBox, feature: tuple[int, int, int]) -> int:
    channels = feature[0]
    return count_parameters(
        attack.build(victim_of_shape(feature, 64), torch.zeros(channels), torch.ones(channels))
    )


@pytest.mark.parametrize(
    ("attack", "feature", "expected"),
    [
        (GenerativeBlackBox(), (256, 16, 16), 530_819),
        (GenerativeBlackBox(), (12, 16, 16), 31_107),
        (GenerativeGrayBox(), (256, 16, 16), 530_819),
        (GenerativeGrayBox(), (12, 16, 16), 80_555),
        (GenerativeGrayBox(width=64), (12, 16, 16), 26_523),
        (GenerativeGrayBox(), (128, 16, 16), 2_006_659),
        (GenerativeGrayBox(width=64), (64, 64, 64), 149_699),
        (GenerativeGrayBox(width=64), (2, 64, 64), 92_291),
        (GenerativeGrayBox(width=64), (32, 64, 64), 279_107),
    ],
)
def test_the_parameters_are_the_papers(
    attack: GenerativeBlackBox, feature: tuple[int, int, int], expected: int
) -> None:
    assert parameters(attack, feature) == expected


def test_the_defaults_are_the_papers() -> None:
    attack = GenerativeBlackBox()
    assert (attack.epochs, attack.batch, attack.learning_rate, attack.beta1) == (100, 128, 2e-4, 0.5)
    assert (attack.loss_name, attack.flip, attack.as_the_paper) == ("mse", False, True)


@pytest.mark.parametrize(
    ("channels", "doublings", "width", "layout"),
    [
        (256, 2, 128, "unprotected"),
        (128, 2, 128, "autoencoder"),
        (12, 2, 128, "funnel"),
        (16, 2, 8, "unprotected"),
        (64, 0, 64, "unprotected"),
        (32, 0, 64, "autoencoder"),
        (2, 0, 64, "funnel"),
        (8, 1, 64, "funnel"),
        (100, 2, 128, "unprotected"),
    ],
)
def test_the_layout_is_told_by_the_channels(channels: int, doublings: int, width: int, layout: str) -> None:
    assert guess_layout(channels, doublings, width) == layout


def test_a_layout_can_be_named_and_an_unknown_one_is_refused() -> None:
    assert parameters(GenerativeGrayBox(layout="unprotected"), (12, 16, 16)) == 31_107
    with pytest.raises(ValueError, match="known: auto, unprotected, funnel, autoencoder"):
        GenerativeGrayBox(layout="mystery")
