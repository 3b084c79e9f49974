"""Virtual environments for programs that shall not share ours; made once, kept in the user's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

READY = "siftfunnel-ready"
_QUOTED_LINES = 5


class PeerUnavailableError(RuntimeError):
    """A peer that cannot be installed or started here; says why."""


def cache_folder() -> Path:
    """Where environments are kept: below XDG_CACHE_HOME or ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "siftfunnel" / "peers"


def same_onnxruntime() -> str:
    """A requirement for the ONNX Runtime that runs here, so that all peers run the model alike."""
    return f"onnxruntime=={version('onnxruntime')}"


SYSTEM_PYTHON = Path("/usr/bin/python3")


def system_interpreter() -> str:
    """The system's own Python, with its shared library.

    A server that embeds Python loads the library that the system's linker finds; with the standard library of
    another build beside it, it fails in the middle of a module.

    Raises:
        PeerUnavailableError: there is none.
    """
    ask = "import sysconfig; print(sysconfig.get_config_var('Py_ENABLE_SHARED'))"
    if SYSTEM_PYTHON.exists():
        made = subprocess.run([SYSTEM_PYTHON, "-c", ask], capture_output=True, text=True, check=False)
        if made.stdout.strip() == "1":
            return str(SYSTEM_PYTHON)
    raise PeerUnavailableError(f"{SYSTEM_PYTHON} with a shared library is needed (Debian's python3 has one)")


@dataclass(frozen=True)
class Environment:
    """What an environment holds.

    Attributes:
        name: Of its folder, before a digest of the rest.
        requirements: For pip, pinned.
        interpreter: Finds the Python that makes it.
    """

    name: str
    requirements: tuple[str, ...]
    interpreter: Callable[[], str] = lambda: sys.executable

    def folder(self, root: Path) -> Path:
        """Where it lies; another list of requirements lies elsewhere."""
        digest = hashlib.sha256("\n".join((self.interpreter(), *self.requirements)).encode())
        return root / f"{self.name}-{digest.hexdigest()[:10]}"

    def prepare(self, root: Path, show: Callable[[str], None]) -> Path:
        """Make it unless it is there; its interpreter. One that was left half made is made again.

        Raises:
            PeerUnavailableError: with the last lines of what pip said.
        """
        folder = self.folder(root)
        python = folder / "bin" / "python"
        if (folder / READY).is_file():
            return python
        show(f"{self.name}: installing {', '.join(self.requirements)}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._run([self.interpreter(), "-m", "venv", str(folder)])
        self._run([str(python), "-m", "pip", "install", "--quiet", *self.requirements])
        (folder / READY).touch()
        return python

    def _run(self, command: Sequence[str]) -> None:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise PeerUnavailableError(f"{self.name} cannot be installed: {last_lines(made.stderr)}")


def last_lines(text: str) -> str:
    """The end of a log, on one line."""
    return (
        " / ".join(line.strip() for line in text.strip().splitlines()[-_QUOTED_LINES:]) or "it said nothing"
    )
