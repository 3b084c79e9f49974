"""What every measuring command says and writes."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from siftfunnel.shared.files import write_file


def add_out(parser: argparse.ArgumentParser, instead: str = "instead of standard output") -> None:
    """The flag that names the file of results."""
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"write the JSON here {instead}")


def write_json(value: dict[str, Any], out: Path | None) -> None:
    """One JSON object to a file, whose folder is made, or to standard output."""
    text = json.dumps(value, indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        write_text(text, out)


def write_text(text: str, out: Path) -> None:
    """A text to a file, whole or not at all; its folder is made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, text)


def show(line: str) -> None:
    """A line of progress, on standard error."""
    print(line, file=sys.stderr, flush=True)
