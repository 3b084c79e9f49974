"""Every kind of committed result: where it lies, and what turns it into pages."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from siftfunnel.bench.tables.pages import (
    Pages,
    Renderer,
    RendererMissingError,
    cells_pages,
    fronts_pages,
    links_pages,
    peers_drawer,
    recommend_pages,
    rendered_by,
    throughput_drawings,
)
from siftfunnel.lab.split.front_table import draw_front


@dataclass(frozen=True)
class Kind:
    """One kind of result.

    Attributes:
        place: File or folder of its JSON, from the checkout's root.
        render: Gives pages, from the place and the root.
        about: What it shows, for the index.
    """

    place: str
    render: Renderer
    about: str


REGISTRY: Mapping[str, Kind] = {
    "recommend": Kind("bench/results/cells.json", recommend_pages, "which split and codec for which link"),
    "cells": Kind("bench/results/cells.json", cells_pages, "latency, stages, bytes, accuracy, leakage"),
    "front": Kind("lab/results/rates", fronts_pages, "accuracy and leakage against bytes per frame"),
    "links": Kind("bench/results/links.json", links_pages, "emulated links as measured"),
    "edge": Kind(
        "bench/results/edge.json",
        rendered_by("siftfunnel.bench.edge.table", "render_edge", "edge"),
        "the edge half's time, memory and start",
    ),
    "serving": Kind(
        "bench/results/serving.json",
        rendered_by("siftfunnel.bench.pages", "render_serving", "serving", throughput_drawings),
        "throughput and latency of the serving path",
    ),
    "peers": Kind(
        "bench/results/peers.json",
        rendered_by("siftfunnel.bench.peers.table", "render_peers", "peers", peers_drawer),
        "other model servers, side by side",
    ),
    "own-networks": Kind(
        "lab/results/own/networks.json",
        rendered_by("siftfunnel.lab.split.table", "render_own_networks", "own-networks"),
        "networks that nobody here wrote: work on the device, bytes, agreement, leakage",
    ),
    "own-front": Kind(
        "lab/results/own/front.json",
        rendered_by("siftfunnel.lab.split.front_table", "render_front", "own-front", draw_front),
        "one of them, agreement against bytes at three cuts beside JPEG and WebP",
    ),
}


def all_pages(root: Path, say: Callable[[str], None]) -> Pages:
    """Every page of what there is, and the index.

    Args:
        root: Of the checkout.
        say: Takes a line about each kind that is left out.

    Raises:
        ValueError: a result that is there and cannot be used.
    """
    pages: Pages = {}
    index: list[str] = []
    for name, kind in REGISTRY.items():
        made, why = _pages_of(kind, root)
        if why:
            say(f"{name}: left out: {why}")
            index.append(f"- {name}: {kind.about}. Not here: {why}.")
            continue
        index += [f"- [{file.removesuffix('.md')}]({file}): {kind.about}" for file in made if _is_page(file)]
        pages |= made
    return {"README.md": "\n".join([_HEAD, *index]) + "\n", **pages}


_HEAD = """\
# Measured

Written by `siftfunnel bench tables` from committed JSON (`make bench-tables`); change that, not these pages.
What the figures mean and how to measure them again: [bench.md](../../bench.md).
"""


def _pages_of(kind: Kind, root: Path) -> tuple[Pages, str]:
    place = root / kind.place
    if not (place.is_file() or (place.is_dir() and any(place.glob("*.json")))):
        return {}, f"{kind.place} is not measured yet"
    try:
        return kind.render(place, root), ""
    except RendererMissingError as error:
        return {}, str(error)


def _is_page(file: str) -> bool:
    return file.endswith(".md")


def say_on_stderr(text: str) -> None:
    """Where messages of a command go."""
    print(f"siftfunnel bench tables: {text}", file=sys.stderr)
