"""Writes two tables: of shipped bundles into README.md, of somebody's own network into docs/split.md.

python docs/make_table.py        (or: make readme-table)
"""

import json
import re
import subprocess
from pathlib import Path

from siftfunnel.lab.reports.own_front import best_points
from siftfunnel.shared.children import python_module

ROOT = Path(__file__).resolve().parents[1]
README, SPLIT, FRONT = ROOT / "README.md", ROOT / "docs/split.md", ROOT / "lab/results/own/front.json"


def write_table(page: Path, mark: str, table: str) -> None:
    """Put another table between a page's marks.

    Raises:
        SystemExit: the marks are not there.
    """
    place = re.compile(
        rf"(?<=^<!-- {mark}: )(?P<about>.*?) -->\n.*?(?=^<!-- /{mark} -->$)", re.MULTILINE | re.DOTALL
    )
    text = page.read_text(encoding="utf-8")
    if not place.search(text):
        raise SystemExit(f"{page}: no `<!-- {mark}: ... -->` and `<!-- /{mark} -->` to write between")
    page.write_text(place.sub(lambda found: f"{found['about']} -->\n{table}", text), encoding="utf-8")


def main() -> None:
    """Ask the command, read the front, and store what they say."""
    command = python_module("siftfunnel", "bundle", "list", "--markdown")
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    front = best_points(json.loads(FRONT.read_text(encoding="utf-8")))
    write_table(README, "bundles", table)
    write_table(SPLIT, "own-front", front)
    print(table, front, sep="\n", end="")


if __name__ == "__main__":
    main()
