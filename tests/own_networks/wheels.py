"""Wheels of the package index, pinned by SHA-256, fetched by pip into a cache; nothing of them is installed.

`$OWN_NETWORKS_CACHE` names the cache (default: a folder of the user's caches).
"""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "OWN_NETWORKS_CACHE"
UNREACHABLE = ("Could not find a version", "Connection", "Temporary failure", "Max retries", "timed out")
PATIENCE_S = 300


class NoRegistryError(Exception):
    """pip found no index that has the wheel; the text is what it said."""


@dataclass(frozen=True)
class Wheel:
    """One file of the package index.

    Attributes:
        project: name on the index.
        version: exactly this one.
        sha256: of the file; pip refuses another one.
        licence: of what is inside, for people.
    """

    project: str
    version: str
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        """A line of a requirements file."""
        return f"{self.project}=={self.version} --hash=sha256:{self.sha256}"


def cache_folder() -> Path:
    """Where wheels are kept between runs."""
    told = os.environ.get(CACHE_VARIABLE)
    return Path(told) if told else Path.home() / ".cache" / "siftfunnel-own-networks"


def unpacked(wheel: Wheel) -> Path:
    """The folder with a wheel's files, downloaded unless the cache has it.

    Raises:
        NoRegistryError: no index was reached.
        AssertionError: an index was reached and gave something else, or nothing.
    """
    place = cache_folder() / f"{wheel.project}-{wheel.version}"
    if not (done := place / ".complete").exists():
        file = download(wheel, place)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(place)
        done.touch()
    return place


def download(wheel: Wheel, place: Path) -> Path:
    """Fetch one wheel with pip, without what it depends on, and check it against its SHA-256."""
    place.mkdir(parents=True, exist_ok=True)
    wanted = place / "requirement.txt"
    wanted.write_text(wheel.requirement + "\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(place)]
    done = subprocess.run(
        [*command, "--requirement", str(wanted)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    if done.returncode and any(sign in done.stderr for sign in UNREACHABLE):
        raise NoRegistryError(done.stderr)
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("*.whl")
    return file
