"""Networks that nobody here wrote go through everything as real processes, and answer like the uncut ones.

`$OWN_NETWORKS_PICTURES` names a folder of pictures, 100 or more that differ. By default people are drawn:
a fresh checkout has no pictures, and a network need not know what it sees to be cut right.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.cli import build_parser
from siftfunnel.commands import COMMANDS
from siftfunnel.lab.faces.sets import draw_auxiliary
from siftfunnel.lab.split.facts import InputFacts
from siftfunnel.lab.split.network_flags import changes
from siftfunnel.lab.split.presets import preset
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.pictures import is_picture_name
from tests.conftest import Processes
from tests.own_networks.journey import Journey
from tests.own_networks.networks import NETWORKS, OwnNetwork
from tests.own_networks.wheels import NoRegistryError

PICTURES_VARIABLE = "OWN_NETWORKS_PICTURES"
DRAWN_PEOPLE, DRAWN_OF_EACH, SERVED = 100, 1, 12
TIMEOUT_S = 1200
SPLIT = next(row for row in COMMANDS if row.name == "split")
SLACK = 0.15
"""Of a mean over so few pictures, below the report's interval."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures."""
    if told := os.environ.get(PICTURES_VARIABLE):
        return Path(told)
    place = tmp_path_factory.mktemp("drawn")
    drawn, _ = draw_auxiliary(DRAWN_PEOPLE, DRAWN_OF_EACH, seed=14)
    for number, picture in enumerate(drawn):
        Image.fromarray(picture).save(place / f"{number:03}.png")
    return place


@pytest.fixture(scope="session")
def served(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of some of them."""
    place = tmp_path_factory.mktemp("served")
    files = sorted(path for path in pictures.rglob("*") if is_picture_name(path.name))
    for number, file in enumerate(files[:: max(1, len(files) // SERVED)][:SERVED]):
        (place / f"{number:03}{file.suffix}").symlink_to(file)
    return place


def fetched(network: OwnNetwork) -> Path:
    """Its file; the test is left out where no index can be reached, which CI must never be."""
    try:
        return network.path()
    except NoRegistryError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no package index gives {network.wheels[-1].project}: {str(error).splitlines()[-1]}")


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_a_network_of_somebody_else_is_cut_served_and_answers_like_the_whole(
    network: OwnNetwork, pictures: Path, served: Path, processes: Processes, tmp_path: Path
) -> None:
    fetched(network)
    journey = Journey(network, pictures, tmp_path)
    cuts = {cut["name"]: cut for cut in journey.inspect()["cuts"]}
    assert 0 < cuts["+".join(network.cut)]["mac_share"] < 1
    assert journey.check()["presets"].keys() == {"raw"}
    bundle = journey.make_bundle()
    assert bundle.manifest.input == network.input
    assert [output.kind for output in bundle.manifest.given] == list(network.outputs.values())
    answers = journey.serve(served, processes)
    assert [answer["outcome"] for answer in answers.answers] == ["answer"] * SERVED
    assert answers.difference < 1e-3
    assert_bytes_and_agreement(
        bundle, [answer["payload_bytes"] for answer in answers.answers], answers.agreement
    )


def least_agreeing(share: float, count: int, chance: float = 1e-4) -> int:
    """Fewest of some answers that agree, where each does with a probability, but for a small chance.

    >>> least_agreeing(0.6, 12), least_agreeing(1.0, 12)
    (1, 12)
    """
    below = 0.0
    for agreeing in range(count + 1):
        below += math.comb(count, agreeing) * share**agreeing * (1 - share) ** (count - agreeing)
        if below > chance:
            return agreeing
    return count


def assert_bytes_and_agreement(bundle: Bundle, payloads: list[int], agreement: float) -> None:
    report = bundle.report()
    figures = report["codecs"][bundle.manifest.default_codec]
    assert np.mean(payloads) == pytest.approx(figures["payload_bytes_mean"], rel=0.5)
    low = report["agreement_ci95"][0]
    if report["agreement_is"] == "same best class":
        assert round(agreement * SERVED) >= least_agreeing(low, SERVED)
    else:
        assert agreement >= low - SLACK
    assert report["edge_mac_share"] < 1
    assert figures["payload_bytes_mean"] < bundle.manifest.feature.size * 4 / 8


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_every_word_of_an_input_can_be_said_on_the_command_line(network: OwnNetwork) -> None:
    spec = network.input
    facts = InputFacts("image", spec.layout, spec.channels, spec.height, spec.width, spec.dtype)
    args = build_parser(SPLIT).parse_args(["split", "check", "net", "--images", ".", *network.input_flags()])
    assert preset(args.preset, facts, **changes(args)) == spec
