"""Writes the table of shipped bundles into README.md: what `siftfunnel bundle list --markdown` prints.

python docs/make_table.py        (or: make readme-table)
"""

import re
import subprocess
from pathlib import Path

from siftfunnel.shared.children import python_module

README = Path(__file__).resolve().parents[1] / "README.md"
PLACE = re.compile(
    r"(?<=^<!-- bundles: )(?P<about>.*?) -->\n.*?(?=^<!-- /bundles -->$)", re.MULTILINE | re.DOTALL
)


def with_table(readme: str, table: str) -> str:
    """The README with another table between its marks.

    Raises:
        SystemExit: the marks are not there.
    """
    if not PLACE.search(readme):
        raise SystemExit(f"{README}: no `<!-- bundles: ... -->` and `<!-- /bundles -->` to write between")
    return PLACE.sub(lambda found: f"{found['about']} -->\n{table}", readme)


def main() -> None:
    """Ask the command and store what it says."""
    command = python_module("siftfunnel", "bundle", "list", "--markdown")
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    README.write_text(with_table(README.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    main()
