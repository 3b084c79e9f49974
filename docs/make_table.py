"""Writes the README's tables: of shipped bundles, and of the front of somebody's own network.

python docs/make_table.py        (or: make readme-table)
"""

import json
import re
import subprocess
from pathlib import Path

from siftfunnel.lab.reports.own_front import best_points
from siftfunnel.shared.children import python_module

ROOT = Path(__file__).resolve().parents[1]
README, FRONT = ROOT / "README.md", ROOT / "lab/results/own/front.json"


def with_table(readme: str, mark: str, table: str) -> str:
    """The README with another table between its marks.

    Raises:
        SystemExit: the marks are not there.
    """
    place = re.compile(
        rf"(?<=^<!-- {mark}: )(?P<about>.*?) -->\n.*?(?=^<!-- /{mark} -->$)", re.MULTILINE | re.DOTALL
    )
    if not place.search(readme):
        raise SystemExit(f"{README}: no `<!-- {mark}: ... -->` and `<!-- /{mark} -->` to write between")
    return place.sub(lambda found: f"{found['about']} -->\n{table}", readme)


def main() -> None:
    """Ask the command, read the front, and store what they say."""
    command = python_module("siftfunnel", "bundle", "list", "--markdown")
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    front = best_points(json.loads(FRONT.read_text(encoding="utf-8")))
    readme = with_table(README.read_text(encoding="utf-8"), "bundles", table)
    README.write_text(with_table(readme, "own-front", front), encoding="utf-8")
    print(table, front, sep="\n", end="")


if __name__ == "__main__":
    main()
