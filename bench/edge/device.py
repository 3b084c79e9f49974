"""What the device does for one frame, stage by stage, and what it must carry for it.

Packages and megabytes installed, resident memory, time to the first answer, vector instructions.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.children import announced, cloud_command
from siftfunnel.edge_client.encoder import Encoder
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.edge_client.picture import Picture
from siftfunnel.lab.turns import interleaved_times_ms, quartiles_ms
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.children import python_module
from siftfunnel.shared.preprocess import prepare

CAMERA = (480, 640)
MEGABYTE = 1_000_000
FIRST_ANSWERS = 5
"""Processes started."""
CPUINFO = Path("/proc/cpuinfo")
OF_INTEREST = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")


def measure_frame(bundle: Bundle, *, codec: str | None = None, rounds: int = 200) -> dict[str, Any]:
    """Frames of a camera, 640x480 RGB blocks of random colours, from pixels in memory to payload.

    Args:
        bundle: its edge half runs.
        codec: a codec's name; None takes the bundle's default.
        rounds: timed frames, after a tenth as many that are not timed.

    Returns:
        Quartiles per stage, of the whole as the device's `Encoder` does it, and the payload's size.
    """
    encoder = Encoder(EdgeModel(bundle), codec)
    pictures = cycle([Picture("frame", _frame(seed)) for seed in range(8)])
    made: dict[str, Any] = {}
    payload_bytes: list[int] = []

    def prepare_next() -> None:
        made["picture"] = next(pictures)
        made["tensor"] = prepare(made["picture"].decodable(), bundle.manifest.input).tensor

    def run_model() -> None:
        made["feature"] = encoder.model.features(made["tensor"])[0]

    stages: dict[str, Callable[[], object]] = {
        "prepare": prepare_next,
        "model": run_model,
        "encode": lambda: payload_bytes.append(len(encoder.codec.encode(made["feature"]))),
        "whole": lambda: encoder.encode(made["picture"]),
    }
    times_ms = interleaved_times_ms(stages, rounds)
    return {
        "bundle": bundle.manifest.name,
        "codec": encoder.codec.name,
        "rounds": rounds,
        "payload_bytes_mean": round(float(np.mean(payload_bytes[-rounds:])), 1),
        "stages_ms": {stage: quartiles_ms(taken) for stage, taken in times_ms.items()},
    }


def _frame(seed: int) -> NDArray[np.uint8]:
    height, width = CAMERA
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(40, axis=0).repeat(40, axis=1))


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


def measure_first_answer(bundle: Path, picture: Path) -> dict[str, Any]:
    """Start an edge process anew for one picture, several times, against a server of its own on loopback.

    Args:
        bundle: directory of a bundle.
        picture: a picture file.

    Returns:
        Median seconds from start to the first answer, and the largest resident memory in MB.
    """
    seconds, resident_megabytes = [], []
    with tempfile.TemporaryDirectory() as folder, announced(cloud_command([bundle])) as server:
        summary = Path(folder) / "summary.json"
        command = python_module("siftfunnel", "edge", "--source", str(picture), "--frames", "1")
        command += ["--bundle", str(bundle), "--server", server.address, "--quiet"]
        command += ["--output", "jsonl:-", "--summary", str(summary)]
        for _ in range(FIRST_ANSWERS):
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
        "rounds": FIRST_ANSWERS,
        "start_to_first_answer_s_p50": round(median(seconds), 3),
        "resident_megabytes_max": round(max(resident_megabytes), 1),
    }


def vector_flags(cpuinfo: Path = CPUINFO) -> list[str]:
    """Those of ``OF_INTEREST`` that the first processor has; without the last but one, 8 bits gain little.

    Args:
        cpuinfo: Linux's list; elsewhere the answer is empty.
    """
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return []
    flags = next(
        (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), []
    )
    return [flag for flag in OF_INTEREST if flag in flags]
