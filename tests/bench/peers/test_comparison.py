"""The comparison with real processes: ours, the floor, one that dies, one that cannot start, a liar."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from siftfunnel.bench.cores import two_cores
from siftfunnel.bench.peers import comparison, contender, load
from siftfunnel.bench.peers.catalogue import PEERS, PLAIN_GRPC
from siftfunnel.bench.peers.comparison import Comparison, Plan
from siftfunnel.bench.peers.contender import Scene
from siftfunnel.bench.peers.peer import Place
from siftfunnel.bench.peers.table import render_peers
from siftfunnel.cli import main
from siftfunnel.shared.bundle import Bundle
from tests.bench.peers.test_environment import quiet
from tests.tinybundle import make_tiny_bundle

needs_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="servers and clients need a core each"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(autouse=True)
def little_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WARM_UP_S", 0.05)
    monkeypatch.setattr(contender, "_SETTLE_S", 0.3)


@pytest.fixture(autouse=True)
def cores_as_before() -> Any:
    before = os.sched_getaffinity(0)
    yield
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), before)


def plan(bundle: Bundle, *names: str, **changes: Any) -> Plan:
    server, client = two_cores()
    chosen: dict[str, Any] = {
        "bundle": bundle,
        "peers": names,
        "models": ("real",),
        "clients": (1, 3),
        "seconds": 0.3,
        "rounds": 2,
        "server_core": server,
        "client_core": client,
    }
    return Plan(**{**chosen, **changes})


def dies_after(answers: int, bundle: Bundle, place: Place) -> list[str]:
    """The floor, which ends itself in the middle of its first turn."""
    command = PLAIN_GRPC.command(bundle, place)
    source = Path(command[1]).read_text()
    counted = source.replace(
        "        feature = np", "        left.pop() if left else os._exit(7)\n        feature = np"
    ).replace("import sys\n", f"import os, sys\nleft = [0] * {answers}\n")
    assert "os._exit" in counted
    script = place.folder / "dies.py"
    script.write_text(counted)
    return [command[0], str(script), *command[2:]]


def lies(bundle: Bundle, place: Place) -> list[str]:
    command = PLAIN_GRPC.command(bundle, place)
    script = place.folder / "lies.py"
    script.write_text(Path(command[1]).read_text().replace("[0].tobytes()", "[0][::-1, ::-1].tobytes()"))
    return [command[0], str(script), *command[2:]]


@needs_cores
def test_one_that_dies_one_that_lies_and_one_that_never_starts_leave_the_others_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = {
        "mortal": replace(PLAIN_GRPC, name="mortal", command=lambda *both: dies_after(10, *both)),
        "liar": replace(PLAIN_GRPC, name="liar", command=lies),
        "stillborn": replace(
            PLAIN_GRPC,
            name="stillborn",
            command=lambda bundle, place: [str(place.python), "-c", "raise SystemExit('no licence')"],
        ),
    }
    monkeypatch.setattr(comparison, "PEERS", {**PEERS, **odd})
    document: dict[str, Any] = {}
    saves = []
    names = ("siftfunnel", "plain-grpc", "mortal", "liar", "stillborn")
    asked, save = plan(bundle, *names), lambda: saves.append(document["complete"])
    Comparison(asked, document, tmp_path, quiet, save).run()

    assert saves == [False, False, True]
    unavailable = {each["peer"]: each["unavailable"] for each in document["peers"]}
    assert unavailable["siftfunnel"] is unavailable["plain-grpc"] is unavailable["mortal"] is None
    assert "does not answer what ONNX Runtime answers" in unavailable["liar"]
    assert "no licence" in unavailable["stillborn"]
    (measured,) = document["models"]
    ours, ours_default, floor, mortal = measured["rows"]
    assert [ours["wire"], ours_default["wire"]] == ["gRPC stream, codec fp32", "gRPC stream, codec q6"]
    for row in (ours, ours_default, floor):
        assert row["stopped"] is None
        assert [(cell["round"], cell["clients"]) for cell in row["cells"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]
        assert all(0 < cell["frames"] <= cell["answered"] for cell in row["cells"])
    assert mortal["stopped"].startswith("round 1: ")
    assert "it ended" in mortal["stopped"]
    assert {loop["batch"] for loop in measured["bare"]} == {1, 16}


@needs_cores
def test_the_command_measures_both_models_writes_json_and_prints_the_table(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "peers.json"
    arguments = ["bench", "peers", "--bundle", str(bundle.directory), "--peers", "plain-grpc"]
    small = ["--clients", "2", "--seconds", "0.1", "--rounds", "1", "--out", str(out)]
    assert main([*arguments, *small]) == 0
    document = json.loads(out.read_text())
    assert document["complete"]
    assert document["provenance"]["versions"]["onnxruntime"] == onnxruntime.__version__
    assert [each["model"] for each in document["models"]] == ["real", "null"]
    printed = capsys.readouterr().out
    assert printed == render_peers(document)
    assert main(["bench", "peers", "--from", str(out)]) == 0
    assert capsys.readouterr().out == printed


@needs_cores
def test_ctrl_c_keeps_the_rounds_that_are_measured(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loops = comparison._bare_loops

    def interrupted(scene: Scene, number: int) -> Any:
        if number == 2:
            raise KeyboardInterrupt
        return loops(scene, number)

    monkeypatch.setattr(comparison, "_bare_loops", interrupted)
    out = tmp_path / "peers.json"
    arguments = ["bench", "peers", "--bundle", str(bundle.directory), "--peers", "plain-grpc"]
    assert main([*arguments, "--clients", "1", "--seconds", "0.1", "--out", str(out)]) == 130
    document = json.loads(out.read_text())
    assert not document["complete"]
    assert [cell["round"] for cell in document["models"][0]["rows"][0]["cells"]] == [1]
    told = capsys.readouterr()
    assert f"interrupted; what was measured is in {out}" in told.err
    assert "The run was interrupted" in told.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "seldom"], "unknown peer seldom; known: siftfunnel, plain-grpc, triton, ray-serve"),
        (["--clients", "0"], "a load needs at least one client"),
        (["--seconds", "0"], "seconds must be above 0"),
        (["--server-core", "1", "--client-core", "1"], "servers and clients would share core 1; name two"),
        (["--client-core", "4096"], "no core 4096 for this process"),
    ],
)
@needs_cores
def test_wrong_arguments_are_told(
    arguments: list[str], said: str, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "peers", "--bundle", str(bundle.directory), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_a_bundle_there_is_nothing_to_serve(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "peers"]) == 2
    assert "--bundle DIR" in capsys.readouterr().err
