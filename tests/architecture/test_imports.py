"""The folder list is the architecture diagram; these tests keep it so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from siftfunnel.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
NEED_PYTORCH = ("siftfunnel.cloud_server.torch_engine", "siftfunnel.shared.onnx_torch")
PARTIES = {"edge_client", "cloud_server", "attacker"}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


def modules_of(room: str) -> list[str]:
    """Every module of a room by its dotted name; rooms are links inside of `siftfunnel`."""
    paths = (path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / room).rglob("*.py"))
    names = [".".join(parts if room == "siftfunnel" else ("siftfunnel", *parts)) for parts in paths]
    return sorted(name.removesuffix(".__init__") for name in names if not name.endswith("__main__"))


@pytest.mark.parametrize("room", ["shared", "edge_client", "cloud_server", "attacker", "siftfunnel"])
def test_no_module_of_a_serving_room_loads_pytorch_or_another_party(room: str) -> None:
    modules = [name for name in modules_of(room) if not name.startswith(NEED_PYTORCH)]
    assert modules
    allowed = {room} if room != "siftfunnel" else {*PARTIES, "cli", "commands"}
    others = PARTIES | {"lab", "bench", "cli", "commands"}
    barred = {"torch", *(f"siftfunnel.{name}" for name in others - allowed)}
    load = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)"
    result = run_python(f"{load}\nprint(sorted({barred!r} & set(sys.modules)))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_every_room_is_a_link_inside_the_one_package_that_is_installed() -> None:
    # the grid of a protocol's sentences is for people who do not have the product
    apart = {"tests", "siftfunnel", "conformance"}
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - apart
    links = {path.name for path in (ROOT / "siftfunnel").iterdir() if path.is_symlink()}
    assert rooms == links
    assert all((ROOT / "siftfunnel" / name).resolve() == ROOT / name for name in links)


def test_the_console_starts_without_loading_anything_heavy() -> None:
    heavy = {
        "numpy",
        "PIL",
        "onnxruntime",
        "grpc",
        "torch",
        "fastapi",
        "rich",
        "cryptography",
        "google.protobuf",
    }
    code = (
        f"import sys, siftfunnel.cli as cli\ncli.build_parser()\nprint(sorted({heavy!r} & set(sys.modules)))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_building_the_parser_of_a_command_loads_no_runtime() -> None:
    heavy = {"onnxruntime", "grpc", "torch", "fastapi", "onnx"}
    code = (
        "import json, sys, siftfunnel.cli as cli, siftfunnel.commands as commands\n"
        "loaded = {}\n"
        "for row in commands.COMMANDS:\n"
        "    cli.build_parser(row)\n"
        f"    loaded[row.name] = sorted({heavy!r} & set(sys.modules))\n"
        "print(json.dumps(loaded))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {row.name: [] for row in COMMANDS}
