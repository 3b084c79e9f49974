"""What the device must carry: packages and megabytes installed, resident memory, time to the first answer."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from siftfunnel.shared.children import python_module

MEGABYTE = 1_000_000


def measure_install(project: Path) -> dict[str, Any]:
    """Install the `edge` extra of a checkout into a fresh environment and weigh it.

    Args:
        project: folder with `pyproject.toml`.

    Returns:
        Packages and their size in MB; pip and this project, code and assets, are left out.

    Raises:
        subprocess.CalledProcessError: the installation fails; pip has said why on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "edge"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        site = next((environment / "lib").glob("python3*")) / "site-packages"
        before = _size_bytes(site)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{project}[edge]"], check=True)
        listing = subprocess.run(
            [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
            check=True,
            capture_output=True,
            text=True,
        )
        ours = sum(
            _size_bytes(site / room)
            for room in ("siftfunnel", "shared", "edge_client", "cloud_server", "attacker", "lab", "bench")
        )
        names = sorted(
            {entry["name"] for entry in json.loads(listing.stdout)} - {"pip", "setuptools", "siftfunnel"}
        )
        return {
            "packages": len(names),
            "names": names,
            "megabytes": round((_size_bytes(site) - before - ours) / MEGABYTE, 1),
        }


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def measure_first_answer(bundle: Path, server: str, picture: Path, *, rounds: int = 5) -> dict[str, Any]:
    """Start an edge process anew for one picture, several times.

    Args:
        bundle: directory of a bundle that the server serves.
        server: HOST:PORT of a running cloud server.
        picture: a picture file.
        rounds: processes started.

    Returns:
        Median seconds from start to the first answer, and the largest resident memory in MB.
    """
    seconds, resident_megabytes = [], []
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        command = python_module("siftfunnel", "edge", "--source", str(picture), "--frames", "1")
        command += ["--bundle", str(bundle), "--server", server, "--quiet"]
        command += ["--output", "jsonl:-", "--summary", str(summary)]
        for _ in range(rounds):
            started = time.perf_counter()
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                seconds.append(time.perf_counter() - started)
                process.stdout.read()
            if process.returncode or json.loads(line)["outcome"] != "answer":
                raise RuntimeError(f"{' '.join(command)} gave no answer (exit code {process.returncode})")
            # getrusage of a child counts what its parent held before exec; the edge reads its own mark
            resident_megabytes.append(json.loads(summary.read_text())["peak_resident_mib"] * 1.048576)
    return {
        "rounds": rounds,
        "start_to_first_answer_s_p50": round(sorted(seconds)[rounds // 2], 3),
        "resident_megabytes_max": round(max(resident_megabytes), 1),
    }
