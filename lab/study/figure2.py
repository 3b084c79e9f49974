"""Figure 2: information and attack quality after each block of an unprotected network.

    x --> block 1 --> block 2 --> ... --> block n --> head
               |           |                 |
               z_1         z_2               z_n        each attacked as if the cut were there

The paper shows the CNN and ResNet-18 on CIFAR-10 with its own MINE and attacks; its curves have no numbers in
the text. Here every block is measured and attacked as a row is, with the same profile.

RUNS/<profile>/<row>/figure2/<n>/        attacks on block n, and one JSON file per finished step
RESULTS/<profile>/figure2-<family>.json  the result, written anew after every step:

    {"schema": 1, "kind": "figure2", "profile", "profile_settings", "seed", "dataset", "family", "network",
     "points": [{"block": "block 1", "feature_shape": [C, h, w],
                 "information": {...}, "references": {...}, "attacks": {...}}],     as in a row's result
     "provenance"}
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.chunks import write_json
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.evaluation.attacking import run_attack
from siftfunnel.lab.evaluation.scores import reference_figures
from siftfunnel.lab.evaluation.steps import finished
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.study.measure import information_figures
from siftfunnel.lab.study.rows import row
from siftfunnel.lab.study.sizes import Profile
from siftfunnel.lab.study.study import (
    Places,
    TrainedRow,
    chosen_attacks,
    header,
    measures_and_attacks,
    network_figures,
    prepare,
    run_name,
    run_row,
    steps_in,
    trained_weights,
)
from siftfunnel.lab.training.checkpoints import RunFolderError

KIND = "figure2"
DEFAULT_ATTACKS = ("rmle", "generative-black-box", "residual")

BLOCK_NAMES = {
    "cnn": ("block 1", "block 2", "block 3", "block 4"),
    "resnet18": ("stem", "layer 1", "layer 2", "layer 3", "layer 4"),
}
"""What a family's children are called; others are numbered."""


def block_victims(network: SplitNetwork, victim: Victim) -> list[Victim]:
    """The same network cut after each of its children but the head, the first cut first.

    Raises:
        ValueError: the network draws noise at its cut, so its blocks are not those of an unprotected one.

    Example: a CNN gives four victims; the second is the victim itself.
    """
    if victim.stochastic:
        raise ValueError("Figure 2 is of an unprotected network; this one draws noise at its cut")
    children = [*network.edge, *network.cloud][:-1]
    cuts = [nn.Sequential(*children[: count + 1]) for count in range(len(children))]
    head = list(network.cloud)[-1]
    pictures = torch.zeros(1, *victim.image_shape, device=victim.device)
    victims = []
    for count, edge in enumerate(cuts, start=1):
        with torch.no_grad():
            _, channels, height, width = edge(pictures).shape
        cloud = nn.Sequential(*children[count:], head)
        victims.append(replace(victim, edge=edge, cloud=cloud, feature_shape=(channels, height, width)))
    return victims


def block_names(family: str, count: int) -> tuple[str, ...]:
    """One name per block.

    Example:
        >>> block_names("cnn", 2), block_names("vgg16", 2)
        (('block 1', 'block 2'), ('part 1', 'part 2'))
    """
    return (BLOCK_NAMES.get(family) or tuple(f"part {number + 1}" for number in range(count)))[:count]


def run_figure2(
    family: str,
    profile: Profile,
    places: Places,
    device: torch.device,
    show: Show,
    *,
    dataset: str = "cifar10",
    seed: int = 1,
    attacks: tuple[str, ...] = DEFAULT_ATTACKS,
) -> Path:
    """Train the unprotected network if it is not there, then measure and attack each block.

    Args:
        family: ``cnn``, ``resnet18`` or ``vgg16``.
        profile: The size of the study; attacks have its budgets.
        places: Where data, runs and results are.
        device: Where to train and attack.
        show: Takes a line of progress.
        dataset: The row's data set.
        seed: Seed of the training.
        attacks: Names of the profile's attacks to run on each block.

    Returns:
        The result file.

    Raises:
        ValueError: an attack that the profile does not have.
    """
    wanted = row(f"{dataset}-{family}-none")
    chosen = chosen_attacks(wanted, profile, attacks)
    folder = places.runs / profile.name / run_name(wanted, seed)
    try:
        trained_weights(wanted, seed, profile, places)
    except RunFolderError:
        run_row(wanted, profile, places, device, show, seed=seed, steps=("train",))
    trained = prepare(wanted, seed, profile, places, device)
    path = places.results / profile.name / f"{KIND}-{family}{'' if seed == 1 else f'-seed{seed}'}.json"
    measure_blocks(trained, profile, chosen, folder / KIND, path, show)
    return path


def measure_blocks(
    trained: TrainedRow, profile: Profile, attacks: Sequence[Attack], folder: Path, path: Path, show: Show
) -> None:
    """Measure and attack every block, each step once, and write the result after each."""
    victims = block_victims(trained.network, trained.subject.victim)
    names = block_names(trained.recipe.family, len(victims))
    for number, (name, victim) in enumerate(zip(names, victims, strict=True), start=1):
        subject, steps = replace(trained.subject, victim=victim), steps_in(folder / str(number), show)
        measures: dict[str, Callable[[], dict[str, Any]]] = {
            "references": partial(reference_figures, subject.x_NCHW, subject.auxiliary),
            "information": partial(
                information_figures, victim, trained.splits, profile.measure, trained.recipe.seed
            ),
        }
        for step, make in measures.items():
            show(name)
            steps.once(step, make)
            write_figure2(path, trained, profile, victims, folder)
        for attack in attacks:
            show(name)
            run_attack(subject, attack, 1, steps)
            write_figure2(path, trained, profile, victims, folder)


def write_figure2(
    path: Path, trained: TrainedRow, profile: Profile, victims: Sequence[Victim], folder: Path
) -> None:
    """Write what is known so far; blocks without a finished step are left out."""
    family = trained.recipe.family
    points = []
    for number, (name, victim) in enumerate(zip(block_names(family, len(victims)), victims, strict=True), 1):
        if done := finished(folder / str(number)):
            measures, attacks = measures_and_attacks(done)
            shape = list(victim.feature_shape)
            points.append({"block": name, "feature_shape": shape, **measures, "attacks": attacks})
    result = {
        **header(trained, profile, kind=KIND),
        "family": family,
        "network": network_figures(trained),
        "points": points,
        "provenance": provenance(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
