"""Flags become a configuration; wrong ones become one line and exit code 2."""

import argparse
from pathlib import Path

import pytest

from siftfunnel.certs import make_certificates
from siftfunnel.cli import main
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.cli import add_cloud_parser, config_from
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.shared.access import ClientLimits
from siftfunnel.shared.bundle import Bundle, BundleError
from siftfunnel.shared.bundle_search import bundle_directory
from siftfunnel.shared.ports import Endpoint


def parsed(*flags: str) -> CloudConfig:
    parser = argparse.ArgumentParser()
    add_cloud_parser(parser.add_subparsers())
    return config_from(parser.parse_args(["cloud", *flags]))


def test_flags_reach_the_configuration_in_its_units(tmp_path: Path) -> None:
    config = parsed(
        "--bundles", "m", "--bundle", "./b", "--listen", "0.0.0.0:1", "--http", "127.0.0.1:2",
        "--threads", "3", "--workers", "4", "--max-batch", "5",
        "--max-wait-ms", "1.5", "--queue-limit", "7", "--window", "8",
        "--drain-seconds", "9", "--reflection", "--skip-bad", "--record-flows", "f", "--record-limit-mb", "2",
        "--max-connections", "10", "--max-calls", "11", "--max-calls-per-connection", "12",
        "--max-calls-per-client", "13", "--stall-seconds", "14", "--engine-start-seconds", "15",
    )  # fmt: skip
    assert config.bundles == (Path("m"), Path("b"))
    assert (str(config.listen), str(config.http), config.tls_listen) == ("0.0.0.0:1", "127.0.0.1:2", None)
    assert (config.engine_options.threads, config.workers, config.window_frames) == (3, 4, 8)
    policy = config.batching
    assert (policy.max_batch_size, policy.max_wait_ms, policy.queue_limit_frames) == (5, 1.5, 7)
    assert (config.drain_s, config.reflection, config.skip_bad) == (9.0, True, True)
    assert config.ceilings == Ceilings(10, 11, 12, client=ClientLimits(13))
    assert (config.stall_s, config.engine_options.start_s) == (14.0, 15.0)
    assert config.record is not None
    assert (config.record.path, config.record.limit_mb) == (Path("f"), 2.0)


def test_without_addresses_plain_text_is_served_on_loopback() -> None:
    config = parsed("--bundles", "m")
    assert (str(config.listen), config.tls_listen, config.http) == ("127.0.0.1:50051", None, None)


def test_a_certificate_turns_the_only_port_into_a_tls_port(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    own = ("--tls-cert", str(made.server), "--tls-key", str(made.server_key))
    alone = parsed("--bundles", "m", "--listen", "127.0.0.1:1", *own)
    assert (alone.listen, str(alone.tls_listen)) == (None, "127.0.0.1:1")
    both = parsed("--bundles", "m", "--listen", "127.0.0.1:1", "--tls-listen", "127.0.0.1:2", *own)
    assert (str(both.listen), str(both.tls_listen)) == ("127.0.0.1:1", "127.0.0.1:2")
    tls_only = parsed("--bundles", "m", "--tls-listen", "127.0.0.1:2", *own)
    assert (tls_only.listen, tls_only.tls_listen) == (None, Endpoint("127.0.0.1", 2))


def test_bundles_come_from_the_environment_when_no_flag_names_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTFUNNEL_MODELS", "one:two")
    assert parsed().bundles == (Path("one"), Path("two"))
    assert parsed("--bundle", "./b").bundles == (Path("b"),)


def test_a_bundle_is_named_as_the_device_names_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, name = bundle.directory.parent, bundle.directory.name
    assert parsed("--bundles", str(folder), "--bundle", name).bundles == (folder, bundle.directory)
    monkeypatch.setenv("SIFTFUNNEL_MODELS", str(folder))
    assert parsed("--bundle", name).bundles == (bundle.directory,)
    shipped = parsed("--bundle", "drawnfaces-siftfunnel").bundles
    assert shipped == (bundle_directory("drawnfaces-siftfunnel"),)
    with pytest.raises(BundleError, match=f"no bundle 'nobody': .*{name}"):
        parsed("--bundle", "nobody")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--bundles", "no/such/folder"], "no/such/folder: no such directory"),
        (["--max-batch", "0"], "max_batch_size must be at least 1, not 0"),
        (["--tls-listen", "127.0.0.1:0"], "--tls-listen, --tls-cert and --tls-key"),
        (["--tls-cert", "no-such.pem"], "a certificate without its key"),
        (["--record-limit-mb", "0", "--record-flows", "f"], "limit_mb must be above 0"),
        (["--record-flows", "no/such/folder/flows.jsonl"], "flows.jsonl: cannot be written: No such file"),
    ],
)
def test_wrong_input_ends_with_2_and_one_line(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], flags: list[str], complaint: str
) -> None:
    assert main(["cloud", "--bundle", str(bundle.directory), "--listen", "127.0.0.1:0", *flags]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("address", ["50051", "localhost:99999"])
def test_an_address_that_is_none_is_refused_by_the_parser(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["cloud", "--listen", address])
    assert ending.value.code == 2
    assert "argument --listen:" in capsys.readouterr().err


def test_the_help_gives_examples_and_explains_the_ready_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["cloud", "--help"])
    assert ending.value.code == 0
    text = capsys.readouterr().out
    for phrase in ("examples:", "--tls-client-ca", '"ready": true', "exit codes:"):
        assert phrase in text
