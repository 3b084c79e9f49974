"""The wheel and the source archive, each installed into an empty environment, work as the checkout does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")


def interpreter(name: str) -> str:
    """Where an interpreter of that version is, that can make environments; skips where there is none."""
    places = [
        name,
        *sorted(map(str, Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}.*/bin/python"))),
    ]
    for place in places:
        try:
            asked = subprocess.run(
                [place, "-c", "import ensurepip, sys; print(sys.version_info[:2])"],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            continue
        if asked.stdout.strip() == str(tuple(map(int, name.removeprefix("python").split(".")))):
            return place
    pytest.skip(f"no {name} here")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source archive of what git checks out, and with the wheel built of that archive."""
    folder = tmp_path_factory.mktemp("archives")
    checkout, tool = folder / "checkout", folder / "tool"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(checkout)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(tool)], check=True)
    subprocess.run([tool / "bin/python", "-m", "pip", "install", "--quiet", "build"], check=True)
    subprocess.run(
        [tool / "bin/python", "-m", "build", "--outdir", str(folder), str(checkout)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("kind", "extra"), [("*.whl", "edge"), ("*.whl", "demo"), ("*.tar.gz", "edge")])
def test_what_is_built_works_in_an_empty_environment(
    python: str, kind: str, extra: str, archives: Path, tmp_path: Path
) -> None:
    if kind == "*.tar.gz" and python != PYTHONS[0]:
        pytest.skip("the archive is the same for all")
    (archive,) = archives.glob(kind)
    subprocess.run([interpreter(python), "-m", "venv", str(tmp_path / "env")], check=True)
    program = tmp_path / "env" / "bin" / "siftfunnel"
    install = [program.with_name("python"), "-m", "pip", "install", "--quiet", f"{archive}[{extra}]"]
    subprocess.run(install, check=True, capture_output=True)
    told = subprocess.run(
        [program, "doctor", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    findings = [json.loads(line) for line in told.stdout.splitlines()]
    assert [finding for finding in findings if finding["state"] == "wrong"] == []
    if extra == "demo":
        summary = tmp_path / "summary.json"
        demo = [program, "demo", "--headless", "--frames", "8", "--summary", str(summary)]
        subprocess.run(demo, cwd=tmp_path, check=True, capture_output=True)
        assert all(each["accuracy"] > 0 for each in json.loads(summary.read_text())["bundles"].values())
