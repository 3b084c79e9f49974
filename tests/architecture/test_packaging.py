"""The device's packages exist for the machines and interpreters the product names."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from siftfunnel.shared.extras import EXTRA_OF

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
AARCH64 = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux2014_aarch64",
)
X86_64 = tuple(tag.replace("aarch64", "x86_64") for tag in AARCH64)


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def edge_requirements(machine: str, python: str) -> list[str]:
    """The edge extra's requirements as that machine sees them; pip judges markers by its own machine."""
    environment = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    table = project()["dependencies"]
    assert isinstance(table, list)
    wanted = [Requirement(line) for line in table]
    return [
        f"{requirement.name}{requirement.specifier}"
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]


def index_is_reachable() -> bool:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions", "packaging"]
    return subprocess.run(command, capture_output=True, timeout=170, check=False).returncode == 0


@pytest.mark.parametrize(
    ("machine", "tags", "python"),
    [
        ("aarch64", AARCH64, PYTHONS[0]),
        *(pytest.param("aarch64", AARCH64, python, marks=pytest.mark.slow) for python in PYTHONS[1:]),
        *(pytest.param("x86_64", X86_64, python, marks=pytest.mark.slow) for python in PYTHONS),
    ],
)
def test_the_edge_extra_resolves_from_wheels(
    machine: str, tags: tuple[str, ...], python: str, tmp_path: Path
) -> None:
    requirements = edge_requirements(machine, python)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--dry-run"]
    command += [
        "--ignore-installed",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
    ]
    command += [f"--platform={tag}" for tag in tags]
    command += ["--target", str(tmp_path), "--report", str(tmp_path / "report.json"), *requirements]
    result = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    if result.returncode != 0 and not os.environ.get("CI") and not index_is_reachable():
        pytest.skip("no package index in reach; with CI=true this would fail")
    assert result.returncode == 0, result.stderr
    installed = json.loads((tmp_path / "report.json").read_text())["install"]
    names = {item["metadata"]["name"].lower().replace("_", "-") for item in installed}
    assert {Requirement(line).name for line in requirements} <= names
    assert not names & {"torch", "starlette", "opencv-python-headless"}


def test_the_project_cannot_be_uploaded_and_names_every_extra() -> None:
    table = project()
    assert "Private :: Do Not Upload" in str(table["classifiers"])
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    assert {"edge", "camera", "cloud", "attacker", "lab", "bench", "demo", "dev"} <= set(extras)
    assert not any("torch" in line for name in ("edge", "cloud", "attacker", "demo") for line in extras[name])


DISTRIBUTION_OF = {
    "annotated_types": "annotated-types",
    "cv2": "opencv-python-headless",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_tools": "grpcio-tools",
    "mlperf_loadgen": "mlcommons-loadgen",
    "prometheus_client": "prometheus-client",
    "skimage": "scikit-image",
}
"""Of modules whose distribution has another name."""


@pytest.mark.parametrize(("module", "extra"), EXTRA_OF.items())
def test_the_extra_named_for_a_module_brings_it(module: str, extra: str) -> None:
    table = project()
    extras, always = table["optional-dependencies"], table["dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(always, list)
    wanted = DISTRIBUTION_OF.get(module, module)
    assert wanted in {Requirement(line).name for line in extras[extra]}
    assert wanted not in {Requirement(line).name for line in always}
