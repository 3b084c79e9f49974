"""Nothing the parties run reports to anybody: ONNX Runtime's telemetry is off before it is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACES = (".ses", "deviceid")


def traces_of(code: str, folder: Path, **environment: str) -> list[str]:
    """Run some Python in empty home and temporary folders, and list what telemetry leaves there."""
    folder.mkdir()
    # The library holds its tongue under CI by itself; a user's machine has no such variable.
    silencing = ("CI", "GITHUB_", "PYTEST_", "ORT_DISABLE_TELEMETRY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(silencing)}
    clean |= {"HOME": str(folder), "TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder), **environment}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.endswith(TRACES))


@pytest.mark.parametrize(
    "module",
    [
        "siftfunnel.edge_client.model",
        "siftfunnel.cloud_server.engine",
        "siftfunnel.attacker.inversion",
        "siftfunnel.lab.onnx_runner",
    ],
)
def test_a_party_that_loads_onnx_runtime_leaves_no_telemetry(module: str, tmp_path: Path) -> None:
    assert traces_of(f"import {module}, onnxruntime", tmp_path / "home") == []


def test_the_traces_looked_for_are_the_ones_that_telemetry_leaves(tmp_path: Path) -> None:
    if not traces_of("import onnxruntime", tmp_path / "home", ORT_DISABLE_TELEMETRY="0"):
        pytest.skip("this build of ONNX Runtime leaves no traces even with telemetry on")
