"""A command's terminal: any characters, any encoding, a reader that goes away, a disk that is full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

RUN = "import sys; from siftfunnel.shared.console import on_console\n{}\nsys.exit(on_console(run))"
PRINTS = "def run():\n print('caf\\xe9 \\u4e2d \\U0001f600 \\udcff'); return 0"
CHATTERS = "def run():\n for _ in range(100_000): print('line')\n return 0"


def start(body: str, **options: object) -> "subprocess.Popen[bytes]":
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", RUN.format(body)], cwd=ROOT, **pipes)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", "café 中 😀 ".encode() + rb"\udcff"),
        ("latin-1", b"caf\xe9 " + rb"\u4e2d \U0001f600 \udcff"),
        ("ascii", rb"caf\xe9 \u4e2d \U0001f600 \udcff"),
    ],
)
def test_what_a_terminal_cannot_show_is_escaped(encoding: str, printed: bytes) -> None:
    out, err = start(PRINTS, env={**os.environ, "PYTHONIOENCODING": encoding}).communicate(timeout=60)
    assert (out.strip(), err) == (printed, b"")


@pytest.mark.parametrize("body", [CHATTERS, "def run():\n print('x' * 100); raise SystemExit(0)"])
def test_a_reader_that_goes_away_ends_the_command_without_a_word(body: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = start(body, stdout=writing)
    os.close(writing)
    _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (141, b"")


def test_a_full_disk_behind_standard_output_is_one_message() -> None:
    with Path("/dev/full").open("wb") as full:
        command = start(PRINTS, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": ""})
        _, err = command.communicate(timeout=60)
    assert command.returncode == 1
    assert err.decode().startswith(
        "standard output cannot be written: No space left on device; free some room"
    )
    assert len(err.splitlines()) == 1


def test_a_command_may_be_started_with_its_outputs_closed() -> None:
    code = RUN.format("def run():\n print('unheard'); return 3")
    command = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code], cwd=ROOT, check=False
    )
    assert command.returncode == 3


def test_pillows_remarks_about_pictures_are_not_shown() -> None:
    body = (
        "def run():\n"
        " import io; from PIL import Image; from siftfunnel.shared.pictures import open_image\n"
        " stored = io.BytesIO()\n"
        " broken = b'Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\0\\x02' + b'\\xff' * 24\n"
        " Image.new('RGB', (8, 8)).save(stored, 'JPEG', exif=broken)\n"
        " open_image(stored.getvalue()); return 0"
    )
    command = start(body)
    _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, b"")
