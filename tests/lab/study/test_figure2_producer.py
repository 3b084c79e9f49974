"""``siftfunnel.lab.study.figure2``: cutting a network after each block, and the result that tables read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.attacks.victim import Victim, victim_of_network
from siftfunnel.lab.data.images import ImageSet, Splits
from siftfunnel.lab.defences.gaussian_noise import GaussianNoise
from siftfunnel.lab.defences.none import NoDefence
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.evaluation.suite import Suite
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.reports.study.results import read_results
from siftfunnel.lab.reports.study.tables import make_pages, with_drawings
from siftfunnel.lab.study.figure2 import block_names, block_victims, measure_blocks
from siftfunnel.lab.study.rows import row
from siftfunnel.lab.study.sizes import PROFILES, MeasureBudget, Profile
from siftfunnel.lab.study.study import TrainedRow, chosen_attacks
from siftfunnel.lab.training.recipes import Recipe

SIZE = 32
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def tiny_network() -> SplitNetwork:
    torch.manual_seed(0)
    return build_network("cnn-unprotected", width=4, input_size=SIZE, num_classes=2)


def tiny_victim(network: SplitNetwork) -> Victim:
    return victim_of_network(network, mean=MEAN, std=STD, device=torch.device("cpu"))


def pictures(count: int, seed: int) -> ImageSet:
    rng = np.random.default_rng(seed)
    images_NHWC = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return ImageSet(images_NHWC, np.arange(count, dtype=np.int64) % 2, ("a", "b"))


def tiny_row() -> TrainedRow:
    network = tiny_network()
    victim = tiny_victim(network)
    splits = Splits(*(pictures(40, seed) for seed in range(4)))
    recipe = Recipe(
        name="cifar10-cnn-none",
        bundle="none",
        dataset="cifar10",
        label_kind="category",
        family="cnn",
        defence=NoDefence(),
        width=4,
        input_size=SIZE,
        epochs=1,
    )
    subject = Subject(victim, splits.test.take(slice(8)), splits.auxiliary, seed=1)
    return TrainedRow(recipe, network, {}, splits, subject)


def tiny_profile() -> Profile:
    return replace(
        PROFILES["cpu"],
        name="tiny",
        suite=Suite.of("tiny", {"generative-black-box": {"epochs": 1, "width": 4}}),
        measure=MeasureBudget(pictures=24, authors_epochs=1, steps=2, latency_runs=1),
    )


def test_a_cnn_is_cut_after_each_of_its_four_blocks() -> None:
    network = tiny_network()
    victims = block_victims(network, tiny_victim(network))
    assert [victim.feature_shape for victim in victims] == [(4, 16, 16), (8, 8, 8), (16, 4, 4), (32, 2, 2)]
    assert victims[1].feature_shape == network.feature_shape


def test_each_cut_sees_the_networks_own_hidden_layer_and_leads_to_the_same_logits() -> None:
    network = tiny_network()
    victim = tiny_victim(network)
    x = torch.rand(3, 3, SIZE, SIZE)
    trace = network.trace((x - 0.5) / 0.25)
    for cut, hidden in zip(block_victims(network, victim), trace.hidden, strict=True):
        assert torch.equal(cut.observe(x), hidden)
        assert cut.cloud is not None
        assert torch.allclose(cut.cloud(hidden), trace.logits_NK, atol=1e-6)


def test_a_network_that_draws_noise_is_refused() -> None:
    network = tiny_network()
    network.stage = GaussianNoise(0.1)
    with pytest.raises(ValueError, match="unprotected network"):
        block_victims(network, tiny_victim(network))


def test_blocks_have_the_names_of_their_family() -> None:
    assert block_names("resnet18", 5) == ("stem", "layer 1", "layer 2", "layer 3", "layer 4")
    assert block_names("vgg16", 3) == ("part 1", "part 2", "part 3")


def test_an_attack_that_the_profile_lacks_is_refused_by_name() -> None:
    wanted = row("cifar10-cnn-none")
    with pytest.raises(ValueError, match="has no attack unet, so cifar10-cnn-none cannot"):
        chosen_attacks(wanted, tiny_profile(), ("unet",))


def test_every_block_is_measured_and_attacked_once_and_tables_read_the_result(tmp_path: Path) -> None:
    trained, profile, shown = tiny_row(), tiny_profile(), []
    path = tmp_path / "results" / "tiny" / "figure2-cnn.json"
    for _ in range(2):
        measure_blocks(trained, profile, profile.suite.attacks, tmp_path / "runs", path, shown.append)
    started = [text for text in shown if text.endswith("attack-generative-black-box")]
    assert len(started) == 4
    points = json.loads(path.read_text())["points"]
    assert [point["block"] for point in points] == ["block 1", "block 2", "block 3", "block 4"]
    assert all({"information", "references", "attacks", "feature_shape"} <= set(point) for point in points)
    study = read_results(tmp_path / "results", pytest.fail)["tiny"]
    (page,) = make_pages(study, "figure2")
    assert [section.name for section in page.sections] == [
        "figure2-cnn-information",
        "figure2-cnn-generative-black-box",
    ]
    assert len(with_drawings(study, page).drawings) == 2
