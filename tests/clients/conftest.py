"""The reference clients, built in a copy of their folder as their README says."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.readme.blocks import ROOT, blocks

NEEDS = {"typescript": ("node", "npm"), "go": ("go", "protoc", "protoc-gen-go")}
COMMAND = {"typescript": ("node", "dist/main.js"), "go": ("./siftfunnel-client",)}
ADDRESS = "127.0.0.1:50051"
"""Where the READMEs have the server."""
PATIENCE_S = 170


class Client:
    """One client's folder, built, and its command line.

    Args:
        language: the name of its folder.
        folder: a copy of it, in a place like its own.
    """

    def __init__(self, language: str, folder: Path) -> None:
        self.language = language
        self.folder = folder
        self.readme = (folder / "README.md").read_text(encoding="utf-8")

    def story(self, name: str, address: str = ADDRESS) -> subprocess.CompletedProcess[str]:
        """Run the commands of one of the README's blocks."""
        (block,) = [block for block in blocks(self.readme) if block.story == name]
        return self._call(["bash", "-euc", block.text.replace(ADDRESS, address)], text=True)

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run its command line."""
        command = [*COMMAND[self.language], *map(str, arguments)]
        return self._call(command, env={**os.environ, **environment})

    def printed(self, *arguments: str | Path, **environment: str) -> bytes:
        """What a command prints that has to succeed."""
        result = self.run(*arguments, **environment)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout

    def answers(self, *arguments: str | Path, **environment: str) -> list[dict[str, Any]]:
        """The JSON lines of such a command."""
        return [json.loads(line) for line in self.printed(*arguments, **environment).splitlines()]

    def encode(self, manifest: Path, codec: str, features: NDArray[np.float32]) -> list[bytes]:
        """Payloads of some features."""
        lines = self.printed("--staged", "encode", manifest, codec, self.written(features)).decode().split()
        return [bytes.fromhex(line) for line in lines]

    def decode(self, manifest: Path, codec: str, *payloads: bytes) -> subprocess.CompletedProcess[bytes]:
        """Features of some payloads, little-endian float32."""
        file = self.folder / "payloads.txt"
        file.write_text("".join(f"{payload.hex()}\n" for payload in payloads))
        return self.run("decode", manifest, codec, file)

    def written(self, features: NDArray[np.float32]) -> Path:
        """A file of features."""
        file = self.folder / "features.f32"
        file.write_bytes(features.astype("<f4").tobytes())
        return file

    def _call(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, timeout=PATIENCE_S, check=False, **options
        )


@pytest.fixture(scope="session", params=sorted(NEEDS))
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Each client in turn."""
    language = str(request.param)
    missing = [tool for tool in NEEDS[language] if shutil.which(tool) is None]
    if missing:
        pytest.skip(
            f"the client in {language} needs {' and '.join(missing)}: see clients/{language}/README.md"
        )
    place = tmp_path_factory.mktemp(language)
    for linked in ("proto", "siftfunnel"):
        (place / linked).symlink_to(ROOT / linked)
    unbuilt = shutil.ignore_patterns("node_modules", "dist", "siftfunnel-client", "*.pb.go")
    shutil.copytree(ROOT / "clients" / language, place / "clients" / language, ignore=unbuilt)
    made = Client(language, place / "clients" / language)
    built = made.story("build")
    said = built.stdout + built.stderr
    if built.returncode and language == "typescript" and "network" in said and not os.environ.get("CI"):
        pytest.skip(f"npm cannot fetch what the client needs: {said.strip().splitlines()[-1]}")
    assert built.returncode == 0, said
    return made
