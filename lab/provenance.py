"""What a figure was made with: code, versions and machine, as JSON values."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("torch", "numpy", "onnx", "onnxruntime", "safetensors", "pillow")
COMMIT_VARIABLE = "SIFTFUNNEL_COMMIT"
"""Says the commit where the code lies without its history: in an image, or copied to a machine with a GPU."""


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get(COMMIT_VARIABLE)
    return found.stdout.strip()


def processor() -> str:
    """The processor's name as the kernel tells it; its architecture where it tells none."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in {"model name", "Model"} and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions(distributions: Iterable[str]) -> dict[str, str | None]:
    """Versions of Python and of distributions; None where one is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory in bytes, operating system and Python."""
    try:
        memory_bytes: int | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory_bytes = None
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": memory_bytes,
        "os": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def provenance() -> dict[str, Any]:
    """Commit (outside a checkout: ``$SIFTFUNNEL_COMMIT`` or None), versions and machine of a result."""
    return {
        "commit": _commit(),
        "versions": versions(DISTRIBUTIONS),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
    }
