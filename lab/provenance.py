"""What a result was made with: code, versions and machine."""

import os
import platform
import subprocess
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


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """Commit (outside a checkout: ``$SIFTFUNNEL_COMMIT`` or None), versions and machine, as JSON values."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "commit": _commit(),
        "versions": versions,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
    }
