"""The doctor finds what is wrong, and nothing on a machine where all is well."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from siftfunnel import cli, doctor
from siftfunnel.doctor import Finding, examine
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shipped import assets_directory

SHIPPED = assets_directory() / "bundles" / "drawnfaces-siftfunnel"


def found(about: str, **environment: str) -> list[Finding]:
    return [finding for finding in examine(environment) if finding.about == about]


def test_nothing_is_wrong_where_the_tests_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SIFTFUNNEL_MODELS", "SIFTFUNNEL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["doctor", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["state"] for each in told} <= {"ok", "advice", "absent"}
    assert {"machine", "packages", "bundles", "settings"} <= {each["about"] for each in told}


def test_a_bundle_that_was_changed_is_wrong_and_the_rest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "changed"):
        shutil.copytree(SHIPPED, tmp_path / name)
    edge = tmp_path / "changed" / "edge.onnx"
    edge.write_bytes(edge.read_bytes()[:-1] + b"x")
    states = [finding.state for finding in found("bundles", SIFTFUNNEL_MODELS=str(tmp_path))]
    assert sorted(states) == ["ok", "wrong"]
    monkeypatch.setenv("SIFTFUNNEL_MODELS", str(tmp_path))
    assert cli.main(["doctor"]) == 1


def test_a_folder_without_bundles_is_wrong(tmp_path: Path) -> None:
    assert [each.state for each in found("bundles", SIFTFUNNEL_MODELS=str(tmp_path))] == ["wrong"]


@pytest.mark.parametrize("content", ["[cloud]\nmax-btch = 1", "[clod]\nmax-batch = 1", "[cloud"])
def test_settings_that_no_command_has_are_wrong(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    findings = [each for each in examine({"SIFTFUNNEL_CONFIG": str(path)}) if each.state == "wrong"]
    assert len(findings) == 1


def test_a_proxy_that_is_in_the_way_is_named() -> None:
    assert [each.state for each in found("proxy")] == ["ok"]
    assert [each.state for each in found("proxy", HTTPS_PROXY="http://10.0.0.1:3128")] == ["advice"]


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = Endpoint("127.0.0.1", taken.getsockname()[1])
        monkeypatch.setattr("siftfunnel.cloud_server.config.DEFAULT_LISTEN", str(where))
        assert [each.state for each in found("port")] == ["advice"]


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken(_environment: object) -> Iterator[Finding]:
        raise RuntimeError("no such thing")
        yield

    def _lacking(_environment: object) -> Iterator[Finding]:
        raise ModuleNotFoundError("none", name="nowhere")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (_broken, _lacking, *doctor.CHECKS[:1]))
    states = [each.state for each in examine({})]
    assert states[:2] == ["wrong", "absent"]
    assert len(states) > 2
