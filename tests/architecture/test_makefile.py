"""The Makefile's two promises: it lists itself, and says what is missing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    # The tests may themselves run under make, whose variables are not the ones meant here.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    clean = {name: value for name, value in clean.items() if name not in {"PYTHON", "ARGS", "TORCH_INDEX"}}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` needs of a fresh clone to get as far as its first complaint."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_make_alone_lists_every_target(checkout: Path) -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    result = make(checkout)
    assert result.returncode == 0, result.stderr
    listed = re.findall(r"^  make (\S+) +\S", result.stdout, re.MULTILINE)
    assert set(listed) == set(phony.group(1).split())
    assert {"demo", "test", "check", "stubs", "clean"} <= set(listed)
    assert list(checkout.glob(".venv*")) == []


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_a_python_the_error_says_which_is_needed(target: str, checkout: Path) -> None:
    result = make(checkout, target, "PYTHON=")
    assert result.returncode != 0
    assert "no Python 3.11 or newer on PATH" in result.stderr


def test_a_python_that_is_too_old_is_refused_by_name(checkout: Path) -> None:
    old = checkout / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = make(checkout, "demo", f"PYTHON={old}")
    assert result.returncode != 0
    assert f"{old} is not Python 3.11 or newer" in result.stderr


def test_the_demo_is_installed_without_pytorch(checkout: Path) -> None:
    planned = make(checkout, "--dry-run", "demo").stdout
    assert "--editable '.[demo]'" in planned
    assert "torch" not in planned.lower().replace("no pytorch", "")


def test_ci_calls_check_test_demo_and_the_container_run() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script
    for call in ("make check test", "make demo", "make docker-test", "make-base-image"):
        assert call in script
    result = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
