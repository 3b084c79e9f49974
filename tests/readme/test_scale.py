"""Every command of docs/scale.md is executed, here or by the test named in `ELSEWHERE`."""

import argparse
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from siftfunnel.cli import build_parser
from siftfunnel.commands import COMMANDS
from tests.readme.blocks import ROOT, Block, blocks
from tests.readme.scratch import Scratch

GUIDE = ROOT / "docs" / "scale.md"
HERE = {"torch", "group", "ray"}
ELSEWHERE = {
    "docker": "tests/integration/test_scale_out.py",
    "proxy": "tests/cloud_server/test_deploy.py",
    "cluster": "tests/integration/test_ray_cluster.py",
    "remote": "tests/bench/peers/test_model_servers.py",
    "kubernetes": "tests/cloud_server/test_deploy.py",
    "adapter": "tests/readme/test_scale.py",
}


def guide(name: str) -> Block:
    (found,) = [block for block in blocks(GUIDE.read_text()) if block.story == name]
    return found


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    place = Scratch(tmp_path)
    shipped = ROOT / "siftfunnel/assets/bundles/drawnfaces-siftfunnel"
    shutil.copytree(shipped, tmp_path / "path/to/bundle")
    yield place
    place.close()


def test_every_block_belongs_to_somebody_who_executes_it() -> None:
    stories = [block.story for block in blocks(GUIDE.read_text())]
    assert sorted(map(str, stories)) == sorted({*HERE, *ELSEWHERE})
    assert all((ROOT / place).is_file() for place in ELSEWHERE.values())


@pytest.mark.parametrize(
    "name", ["group", *(pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "ray"))]
)
@pytest.mark.timeout(600)
def test_a_reader_who_copies_a_block_succeeds(name: str, scratch: Scratch) -> None:
    printed = scratch.run(guide(name))
    if name == "group":
        assert "20 answered, 0 errors" in printed
    else:
        assert re.search(r"^face\.png: \w+ 0\.\d+", printed, re.MULTILINE)


def parsed(command: str) -> argparse.Namespace:
    program, name, *flags = shlex.split(command)
    assert program == "siftfunnel"
    (row,) = [row for row in COMMANDS if row.name == name]
    return build_parser(row).parse_args([name, *flags])


@pytest.mark.parametrize("name", ["cluster", "remote"])
def test_a_server_of_a_cluster_is_started_with_flags_that_go_together(name: str) -> None:
    from siftfunnel.cloud_server.cli import config_from

    command = guide(name).commands[-1]
    config = config_from(parsed(command))
    assert config.engine == {"cluster": "ray-serve", "remote": "open-inference"}[name]
    assert str(config.listen) == "0.0.0.0:50051"


def test_the_nodes_of_the_tests_cluster_are_started_with_the_flags_that_the_guide_shows() -> None:
    source = (ROOT / "tests/integration/ray_cluster.py").read_text()
    for command in guide("cluster").commands[:-1]:
        program, verb, *flags = shlex.split(command)
        assert (program, verb) == ("ray", "start")
        assert all(f"{flag.partition('=')[0]}" in source for flag in flags)


def test_the_folders_and_the_file_that_commands_name_are_the_tested_ones() -> None:
    from tests.cloud_server.test_deploy import DEPLOY, VARIANTS

    folders = [ROOT / command.split()[-1] for command in guide("kubernetes").commands]
    assert folders == [DEPLOY / "kubernetes" / variant for variant in VARIANTS]
    assert guide("proxy").commands == ["haproxy -f cloud_server/deploy/haproxy.cfg"]
    assert (DEPLOY / "haproxy.cfg").is_file()


def test_the_adapters_rule_is_about_the_metric_that_the_autoscaler_asks_for() -> None:
    (rule,) = yaml.safe_load(guide("adapter").text)["rules"]["custom"]
    metric = rule["name"]["as"]
    assert rule["seriesQuery"].startswith(metric)
    manifest = ROOT / "cloud_server/deploy/kubernetes/queue-metric/kustomization.yaml"
    assert f"name: {metric}\n" in manifest.read_text()
