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

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.study.measure import information_figures, reference_figures
from siftfunnel.lab.study.profiles import Profile
from siftfunnel.lab.study.rows import row
from siftfunnel.lab.study.run import (
    DONE,
    Places,
    Subject,
    chosen_attacks,
    finish,
    prepare,
    run_attack,
    run_name,
    run_row,
    trained_weights,
)
from siftfunnel.lab.training.checkpoints import RunFolderError

SCHEMA = 1
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
    subject = prepare(wanted, seed, profile, places, device)
    path = places.results / profile.name / f"{KIND}-{family}{'' if seed == 1 else f'-seed{seed}'}.json"
    measure_blocks(subject, profile, chosen, folder / KIND, path, show)
    return path


def measure_blocks(
    subject: Subject, profile: Profile, attacks: Sequence[Attack], folder: Path, path: Path, show: Show
) -> None:
    """Measure and attack every block, each step once, and write the result after each."""
    victims = block_victims(subject.network, subject.victim)
    names = block_names(subject.recipe.family, len(victims))
    for number, victim in enumerate(victims, start=1):
        home = folder / str(number)
        with torch.no_grad():
            block = replace(subject, victim=victim, z_NCHW=victim.observe(subject.x_NCHW))
        steps: dict[str, Callable[[], dict[str, Any]]] = {
            "references": partial(reference_figures, block.x_NCHW, block.splits.auxiliary),
            "information": partial(
                information_figures, victim, block.splits, profile.measure, block.recipe.seed
            ),
        }
        for attack in attacks:
            steps[f"attack-{attack.name}"] = partial(run_attack, attack, 1, block, home, show)
        for step, do in steps.items():
            show(names[number - 1])
            finish(home, step, do, show)
            write_figure2(path, subject, profile, victims, folder)


def write_figure2(
    path: Path, subject: Subject, profile: Profile, victims: Sequence[Victim], folder: Path
) -> None:
    """Write what is known so far; blocks without a finished step are left out."""
    recipe, network = subject.recipe, subject.network
    names = block_names(recipe.family, len(victims))
    points = []
    for number, (name, victim) in enumerate(zip(names, victims, strict=True), start=1):
        done = sorted((folder / str(number) / DONE).glob("*.json"))
        if done:
            points.append(_point(name, victim, done))
    result = {
        "schema": SCHEMA,
        "kind": KIND,
        "profile": profile.name,
        "profile_settings": profile.settings(),
        "seed": recipe.seed,
        "dataset": {"name": recipe.dataset, **subject.splits.sizes()},
        "family": recipe.family,
        "network": {
            "family": recipe.family,
            "architecture": recipe.architecture,
            "width": network.width,
            "input_size": network.input_size,
        },
        "points": points,
        "provenance": provenance(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(path)


def _point(name: str, victim: Victim, done: Sequence[Path]) -> dict[str, Any]:
    values = {path.stem: json.loads(path.read_text()) for path in done}
    prefix = "attack-"
    return {
        "block": name,
        "feature_shape": list(victim.feature_shape),
        **{key: value for key, value in values.items() if not key.startswith(prefix)},
        "attacks": {
            key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)
        },
    }
