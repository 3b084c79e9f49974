"""A folder with everything that the README's commands speak of, and what runs them there."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from siftfunnel.shared.ports import free_ports
from siftfunnel.shipped import images_directory
from tests.readme.blocks import ROOT, Block
from tests.readme.console import ARCHIVE_VARIABLE

READY = '"ready": true'
PATIENCE_S = 600.0
RECORDS_PER_FILE = 96
PICTURES = 4


def cifar10_archive(path: Path) -> Path:
    """An archive built like CIFAR-10's, with noise for pictures and every class in every file."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w:gz") as archive:
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            records = rng.integers(0, 256, (RECORDS_PER_FILE, 3073), dtype=np.uint8)
            records[:, 0] = np.arange(RECORDS_PER_FILE) % 10
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = records.nbytes
            archive.addfile(member, io.BytesIO(records.tobytes()))
    return path


class Scratch:
    """One reader's working folder; `close` ends what still runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports: dict[str, str] = {}
        self._running: list[subprocess.Popen[bytes]] = []
        self._fill()

    def _fill(self) -> None:
        folders = [folder for folder in sorted(images_directory().iterdir()) if folder.is_dir()]
        for folder in folders[:PICTURES]:
            target = self.folder / "path/to/pictures" / folder.name
            target.mkdir(parents=True)
            shutil.copy(min(folder.glob("*.png")), target)
        one, another = sorted((self.folder / "path/to/pictures").rglob("*.png"))[:2]
        shutil.copy(one, self.folder / "face.png")
        shutil.copy(another, self.folder / "another.png")
        (self.folder / "path/to/anything").mkdir()
        shutil.copy(one, self.folder / "path/to/anything")
        cifar10_archive(self.folder / "archive.tar.gz")
        program = self.folder / "bin" / "siftfunnel"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.readme.console "$@"\n')
        program.chmod(0o755)

    def run(self, block: Block) -> str:
        """Execute a block as it is written, on free ports instead of those it names; what it printed."""
        text = self._on_free_ports(block.text)
        if block.language == "python":
            return self._wait(self._start([sys.executable, "-c", text]))
        if not block.background:
            return self._wait(self._start(["bash", "-euo", "pipefail", "-c", text]))
        *before, last = Block(block.story, True, block.language, text).commands
        for command in before:
            self._wait_ready(self._start(["bash", "-c", f"exec {command}"]))
        return self._wait(self._start(["bash", "-c", f"exec {last}"]))

    def _on_free_ports(self, text: str) -> str:
        def swap(found: re.Match[str]) -> str:
            port = found.group(1)
            if port not in self._ports:
                self._ports[port] = str(free_ports(1)[0])
            return f"127.0.0.1:{self._ports[port]}"

        return re.sub(r"127\.0\.0\.1:(\d+)", swap, text)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SIFTFUNNEL_")
        }
        environment |= {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            ARCHIVE_VARIABLE: str(self.folder / "archive.tar.gz"),
        }
        with self._log(len(self._running)).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def _log(self, number: int) -> Path:
        return self.folder / f"command-{number}.log"

    def _output(self, process: subprocess.Popen[bytes]) -> str:
        return self._log(self._running.index(process)).read_text(errors="replace")

    def _wait(self, process: subprocess.Popen[bytes]) -> str:
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {PATIENCE_S:.0f} s: {process.args}\n{self._output(process)}")
        if code:
            pytest.fail(f"exit code {code}: {process.args}\n{self._output(process)}")
        return self._output(process)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process says that it is ready, or has ended well."""
        deadline_s = time.monotonic() + PATIENCE_S
        while READY not in self._output(process):
            if process.poll() is not None:
                self._wait(process)
                return
            if time.monotonic() > deadline_s:
                pytest.fail(f"not ready after {PATIENCE_S:.0f} s: {process.args}\n{self._output(process)}")
            time.sleep(0.05)

    def close(self) -> None:
        """End everything that still runs."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
