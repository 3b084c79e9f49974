"""Builds the documentation site: every page as it lies in the repository, Python's reference, the board.

    python docs/make_site.py

The pages and whatever they link to are staged in build/pages, in the same folders, so that a link which works
in the repository works on the site; MkDocs makes build/site of them and fails on any warning.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml

from siftfunnel.shared.children import python_module

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
NOT_PAGES = ("tests/", "bench/pages/", "lab/reports/templates/")
REFERENCE: dict[str, str | tuple[str, ...]] = {
    "edge_client": "edge_client/",
    "shared": "shared/",
    "lab": ("lab/__init__.py", "lab/split/api.py"),
}
"""What programs import of us, in the order in which a reader meets it; other rooms are programs."""

_PUBLIC = re.compile(r"(?:(?!rpc/)[a-z]\w*/)+(?:[a-z]\w*|__init__)\.py")
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#|<)([^)#\s]+)(?=[)#])")


def tracked() -> list[str]:
    """Files of the repository as git lists them, new ones too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return sorted(
        set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    )


def pages(files: list[str]) -> list[str]:
    """Those that readers read: no templates, no input of other pages."""
    return [
        name
        for name in files
        if name.endswith(".md") and not name.endswith(".in.md") and not name.startswith(NOT_PAGES)
    ]


def linked(page: Path) -> Iterator[Path]:
    """Files of the repository that a page links to or shows."""
    for target in _LINK.findall(page.read_text()):
        place = (page.parent / target).resolve()
        if place.is_file() and place.is_relative_to(ROOT):
            yield place


def stage(names: list[str]) -> None:
    """Copy the pages and what they link to; a link to a folder leads to the page that explains it."""
    for name in names:
        target = PAGES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_LINK.sub(partial(_explained, ROOT / name), (ROOT / name).read_text()))
        for file in linked(ROOT / name):
            copy = PAGES / file.relative_to(ROOT)
            if not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)


def _explained(page: Path, link: re.Match[str]) -> str:
    folder = page.parent / link[1]
    return f"{link[1].rstrip('/')}/README.md" if (folder / "README.md").is_file() else link[1]


def reference(files: list[str]) -> list[dict[str, str]]:
    """Write a page for each room with all of its public modules; what the navigation shows of it."""
    entries = []
    for room, places in REFERENCE.items():
        modules = [
            name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for name in files
            if name.startswith(places)
            and _PUBLIC.fullmatch(name)
            and (ROOT / name).read_text().startswith('"""')
        ]
        page = PAGES / "reference" / f"{room}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        blocks = "\n\n".join(f"::: siftfunnel.{module}" for module in modules)
        page.write_text(f"# siftfunnel.{room}\n\n{blocks}\n")
        entries.append({room: f"reference/{room}.md"})
    return entries


def settings(entries: list[dict[str, str]], names: list[str]) -> Path:
    """MkDocs's settings with the lists that are made here in their places."""
    text = (ROOT / "docs" / "mkdocs.yml").read_text()
    config = yaml.safe_load(text)
    for section in config["nav"]:
        for parts in section.values():
            for part in parts if isinstance(parts, list) else ():
                if part.get("Python") == "reference/":
                    part["Python"] = entries
                if part.get("Tables") == "docs/tables/":
                    part["Tables"] = [name for name in names if name.startswith("docs/tables/")]
    made = ROOT / "build" / "mkdocs.yml"
    made.write_text(yaml.safe_dump(config | {"docs_dir": "pages", "site_dir": "site"}, sort_keys=False))
    return made


def main() -> int:
    """Build everything anew; the exit code is MkDocs's."""
    shutil.rmtree(PAGES, ignore_errors=True)
    files = tracked()
    stage(names := pages(files))
    board = python_module("siftfunnel", "lab", "board", "page", "--out", str(PAGES / "board" / "board.html"))
    subprocess.run(board, check=True, cwd=ROOT)
    made = settings(reference(files), names)
    built = subprocess.run(
        python_module("mkdocs", "build", "--strict", "--clean", "-f", str(made)), check=False
    )
    if built.returncode == 0:
        print(ROOT / "build" / "site" / "index.html")
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
