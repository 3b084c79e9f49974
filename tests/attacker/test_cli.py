import argparse
import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from siftfunnel.attacker.cli import add_attacker_parser, config_from, main
from siftfunnel.attacker.feeds.config import RelayConfig
from siftfunnel.attacker.serving import name_feeds
from siftfunnel.shared.ports import Endpoint
from tests.attacker.scene import HandFeed, Scene

TAP = "relay:0:127.0.0.1:9"


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_attacker_parser(parser.add_subparsers())
    return parser.parse_args(["attacker", *arguments])


def test_flags_become_a_configuration() -> None:
    config = config_from(
        parse(
            "--tap",
            TAP,
            "--tap",
            "pcap:x.pcap",
            "--bundles",
            "a",
            "--bundle",
            "b",
            "--inverter",
            "c",
            "--http",
            "8081",
            "--preview",
            "http://edge:8090",
            "--record-flows",
            "r.jsonl",
            "--retention-mb",
            "2.5",
        )
    )
    assert [str(tap) for tap in config.taps] == ["relay:127.0.0.1:0:127.0.0.1:9", "pcap:x.pcap"]
    assert config.bundles == (Path("a"), Path("b"))
    assert config.inverters == (Path("c"),)
    assert config.http == Endpoint("127.0.0.1", 8081)
    assert (config.preview, config.control) == ("http://edge:8090", None)
    assert (config.record, config.retention_mb) == (Path("r.jsonl"), 2.5)


def test_defaults_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTFUNNEL_MODELS", "one:two")
    monkeypatch.setenv("SIFTFUNNEL_INVERTERS", "three")
    config = config_from(parse("--tap", TAP))
    assert (config.bundles, config.inverters) == ((Path("one"), Path("two")), (Path("three"),))


def test_the_page_takes_names_and_a_token_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_from(parse("--tap", TAP, "--page-name", "Demo.local", "--page-name", "lab"))
    assert (config.page_names, config.page_token) == (("demo.local", "lab"), None)
    monkeypatch.setenv("SIFTFUNNEL_PAGE_TOKEN", "from-the-environment")
    assert config_from(parse("--tap", TAP)).page_token == "from-the-environment"
    (tmp_path / "token").write_text("0123456789abcdef-file\n")
    config = config_from(parse("--tap", TAP, "--page-token-file", str(tmp_path / "token")))
    assert config.page_token == "0123456789abcdef-file"
    assert "0123456789abcdef" not in repr(config)


@pytest.mark.parametrize("token", ["", "short", "with spaces in it, and more", "0123456789abcdef;", "ü" * 16])
def test_a_token_that_a_cookie_cannot_hold_or_that_can_be_guessed_is_refused(
    tmp_path: Path, token: str
) -> None:
    (tmp_path / "token").write_text(token)
    with pytest.raises(ValueError, match="token must be 16 or more"):
        config_from(parse("--tap", TAP, "--page-token-file", str(tmp_path / "token")))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no tap was given"),
        (["--tap", TAP, "--preview", "edge:8090"], "--preview must be an address"),
        (["--tap", TAP, "--control", "ftp://x"], "--control must be an address"),
        (["--tap", TAP, "--preview", "ftp://me:geheim@x"], r"not 'ftp://\*\*\*@x'"),
        (["--tap", TAP, "--retention-mb", "0"], "retention_mb must be above 0"),
        (["--tap", TAP, "--page-name", "demo.local:80"], "--page-name must be a host's name"),
        (["--tap", TAP, "--page-token-file", "/no/such"], "--page-token-file /no/such"),
    ],
)
def test_bad_input_is_refused_with_its_flag(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        config_from(parse(*arguments))


@pytest.mark.parametrize("text", ["eighty", "::1:80", "127.0.0.1:", "127.0.0.1:70000", ""])
def test_what_is_no_address_of_a_page_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--tap", TAP, "--http", text)
    assert "--http" in capsys.readouterr().err


def test_a_bad_tap_lists_the_forms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--tap", "carrier-pigeon")
    assert "relay:LISTEN:TARGET" in capsys.readouterr().err


def test_the_same_tap_twice_is_refused_but_two_relays_on_free_ports_are_two() -> None:
    relay = RelayConfig(Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 9))
    feeds = name_feeds((relay, relay), lambda tap: HandFeed(str(tap)))
    assert list(feeds) == [str(relay), f"{relay} (2)"]
    config = config_from(parse("--tap", "pcap:x", "--tap", "pcap:x"))
    with pytest.raises(ValueError, match="given twice"):
        name_feeds(config.taps, lambda tap: HandFeed(str(tap)))


def test_a_port_in_use_names_the_flag_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--tap", TAP, "--http", f"127.0.0.1:{port}"]) == 1
    told = capsys.readouterr().err
    assert f"--http 127.0.0.1:{port}" in told
    assert "the port is in use" in told


def test_a_record_that_cannot_be_written_names_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tap", TAP, "--http", "0", "--record-flows", str(tmp_path / "no" / "r.jsonl")]) == 1
    assert "--record-flows" in capsys.readouterr().err


def test_the_process_says_where_it_listens_and_ends_as_asked(scene: Scene, processes: Any) -> None:
    child = processes.python(
        "-m",
        "siftfunnel.attacker",
        "--tap",
        TAP,
        "--http",
        "127.0.0.1:0",
        "--bundles",
        scene.bundles,
        "--inverters",
        scene.inverters / scene.open.name,
    )
    output = child.wait_for("the page is at http://")
    ready = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    assert ready["ready"] is True
    assert ready["taps"][0]["address"].startswith("127.0.0.1:")
    assert not ready["taps"][0]["address"].endswith(":0")
    assert ready["bundles"] == {scene.shut.name: scene.shut.digest, scene.open.name: scene.open.digest}
    assert ready["inverters"] == [scene.open.name]
    assert f"no inverter for bundle {scene.shut.name}" in output
    with httpx.stream("GET", f"http://{ready['http']}/events") as events:
        assert next(events.iter_lines()) == "event: hello"
        child.process.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0


def test_a_tap_that_cannot_start_ends_everything_and_says_why() -> None:
    config = config_from(parse("--tap", "sniff:no-such-interface:50051", "--http", "0"))
    from siftfunnel.attacker.serving import serve

    with pytest.raises(RuntimeError, match="no-such-interface"):
        serve(config, lambda line: None)


@pytest.mark.parametrize(
    ("http", "more", "is_asked"),
    [("0.0.0.0:0", [], True), ("127.0.0.1:0", [], False), ("0.0.0.0:0", ["--page-anyone"], False)],
)
def test_a_page_that_other_machines_reach_asks_for_a_token(
    http: str, more: list[str], is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIFTFUNNEL_PAGE_TOKEN", raising=False)
    config = config_from(parse("--tap", "relay:127.0.0.1:0:127.0.0.1:1", "--http", http, *more))
    assert (config.page_token is not None) == is_asked
