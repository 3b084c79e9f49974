"""Everything that README.md and the short pages show is executed, and every file and figure is there."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from siftfunnel.lab.reports.own_front import best_points
from siftfunnel.shared.access import Right, parse_clients, read_clients, read_token
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shipped import Library
from tests.conftest import run_siftfunnel
from tests.readme.blocks import PAGES, README, ROOT, blocks, story
from tests.readme.scratch import PICTURES, Scratch

BY_CI, BY_THE_CONTAINER_TEST = "ci", "docker"
QUICK, LONG = ("service", "tls", "bundles", "doctor", "settings", "token"), ("pictures", "lab", "network")
TIMEOUT_S = 1200


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    place = Scratch(tmp_path)
    yield place
    place.close()


def text(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages or PAGES)


def test_every_block_belongs_to_a_story_that_somebody_executes() -> None:
    found = [block for block in blocks(text()) if block.language != "toml"]
    assert len(blocks(text())) == text().count("\n```") / 2
    assert {block.story for block in found} == {*QUICK, *LONG, BY_CI, BY_THE_CONTAINER_TEST}
    assert {block.language for block in found} == {"sh", "python"}


def test_every_file_of_clients_that_is_shown_is_one() -> None:
    shown = [block.text for block in blocks(text()) if block.language == "toml"]
    assert shown
    assert all(parse_clients(tomllib.loads(each)) for each in shown)


def test_a_block_without_a_story_would_be_found() -> None:
    (block,) = blocks("Words.\n\n```sh\nls\n```\n")
    assert block.story is None


def test_ci_runs_what_is_left_to_it() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    for block in story(BY_CI):
        for command in block.commands:
            program, target = command.split()
            assert program == "make"
            assert re.search(rf"^\s*make (\w+ )*{target}\b", script, re.MULTILINE), command
    assert "make docker-test" in script


def test_docker_commands_are_such_that_the_container_test_executes_them() -> None:
    commands = [command for block in story(BY_THE_CONTAINER_TEST) for command in block.commands]
    assert commands
    for command in commands:
        assert command.startswith("docker compose up --build")


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_a_reader_who_copies_the_blocks_of_a_story_succeeds(name: str, scratch: Scratch) -> None:
    if name == "lab":
        scratch.run(next(block for block in story("pictures") if "siftfunnel data" in block.text))
    if name == "network":
        bring_a_network(scratch)
    printed = "".join(scratch.run(block) for block in story(name))
    CHECKS[name](printed, scratch.folder)


def bring_a_network(scratch: Scratch) -> None:
    """A network and its pictures as the guide makes them, under the names that the README has for them."""
    for block in blocks((ROOT / "docs/own-network.md").read_text(encoding="utf-8"))[:2]:
        scratch.run(block)
    (scratch.folder / "people.onnx").rename(scratch.folder / "net.onnx")
    (scratch.folder / "people").rename(scratch.folder / "photos")


def check_network(printed: str, folder: Path) -> None:
    assert re.search(r"^ok +mine", printed, re.MULTILINE)
    assert "of the work on the device" in printed
    assert len(list(folder.glob("runs/audit-*/report.html"))) == 1
    outcomes = [json.loads(line)["outcome"] for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert set(outcomes) == {"answer"}


def check_pictures(printed: str, folder: Path) -> None:
    assert len(list((folder / "pictures/cifar10/test").iterdir())) == 10
    for bundle in ("drawnfaces-unprotected", "drawnfaces-siftfunnel", "cifar10-unprotected"):
        assert bundle in printed


def check_service(printed: str, folder: Path) -> None:
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [answer["outcome"] for answer in answers] == ["answer"] * PICTURES
    assert re.search(r"^face\.png: \w+ 0\.\d+", printed, re.MULTILINE)
    assert len(re.findall(r"^\d+ \w+ \d+\.\d ms$", printed, re.MULTILINE)) == 2


def check_tls(printed: str, folder: Path) -> None:
    assert (folder / "certificates/ca.pem").is_file()
    assert f"{PICTURES} answered, 0 errors" in printed


def check_bundles(printed: str, folder: Path) -> None:
    assert "drawnfaces-unprotected" in printed
    assert re.search(r"^ok +drawnfaces-siftfunnel", printed, re.MULTILINE)


def check_doctor(printed: str, folder: Path) -> None:
    assert "drawnfaces-siftfunnel" in printed


def check_settings(printed: str, folder: Path) -> None:
    assert set(tomllib.loads(printed)["cloud"]) == {"max-batch"}
    assert tomllib.loads((folder / "siftfunnel.toml").read_text()) == {"cloud": {}}


def check_token(printed: str, folder: Path) -> None:
    clients = read_clients(folder / "clients.toml")
    for name, right in (("camera-1", Right.INFER), ("monitor", Right.ADMINISTER)):
        client = clients.of_token(read_token(folder / f"{name}.txt") or "")
        assert client is not None
        assert right in client.rights
    assert (read_token(folder / "token.txt") or "none") not in printed


def check_lab(printed: str, folder: Path) -> None:
    assert "cifar10_siftfunnel" in printed
    assert (folder / "bundles/funnel/manifest.json").is_file()
    assert (folder / "inverters/funnel/inverter.onnx").is_file()
    assert "runs/funnel" in printed
    assert len(list(folder.glob("runs/audit-*/report.html"))) == 1
    assert "SiftFunnel" in printed


CHECKS: dict[str, Callable[[str, Path], None]] = {
    "pictures": check_pictures,
    "service": check_service,
    "tls": check_tls,
    "bundles": check_bundles,
    "lab": check_lab,
    "doctor": check_doctor,
    "settings": check_settings,
    "token": check_token,
    "network": check_network,
}


def test_the_table_is_what_the_command_prints() -> None:
    printed = run_siftfunnel(["bundle", "list", "--markdown"], SIFTFUNNEL_MODELS="", SIFTFUNNEL_INVERTERS="")
    assert printed.returncode == 0, printed.stderr
    found = re.search(r"^<!-- bundles: .*? -->\n(.*?)^<!-- /bundles -->$", text(), re.MULTILINE | re.DOTALL)
    assert found
    assert found[1] == printed.stdout, "run `make readme-table`"


def test_the_own_networks_table_is_that_of_the_measured_front() -> None:
    stored = json.loads((ROOT / "lab/results/own/front.json").read_text(encoding="utf-8"))
    found = re.search(
        r"^<!-- own-front: .*? -->\n(.*?)^<!-- /own-front -->$", text(), re.MULTILINE | re.DOTALL
    )
    assert found
    assert found[1] == best_points(stored), "run `make readme-table`"


def test_the_figures_of_the_table_were_measured_on_test_pictures() -> None:
    found = [bundle for bundle in Library.from_environment({}).bundles() if isinstance(bundle, Bundle)]
    assert found
    measured_on = {bundle.name: bundle.report()["accuracy_measured_on"]["split"] for bundle in found}
    assert measured_on == dict.fromkeys(measured_on, "test")


def test_every_file_that_a_page_links_to_is_there() -> None:
    for page in PAGES:
        links = re.findall(r"\]\(([^)\s]+)\)", text(page))
        files = [link for link in links if "://" not in link]
        assert page != README or "docs/pictures/page.png" in files
        assert [link for link in files if not (page.parent / link.partition("#")[0]).is_file()] == []
