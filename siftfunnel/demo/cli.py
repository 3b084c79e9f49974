"""``siftfunnel demo``: flags to a configuration, a run directory, signals, the JSON summary."""

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.demo.choice import (
    EVERYWHERE,
    HEADLESS_FRAMES,
    DemoConfig,
    about_inverters,
    choose_bundles,
    is_address,
    own_inverter,
    pictures_below,
)
from siftfunnel.demo.ports import own_address, port_is_free
from siftfunnel.shared.files import write_file
from siftfunnel.shared.hosts import is_loopback
from siftfunnel.shared.settings import add_flags, from_flags
from siftfunnel.shipped import Library, images_directory

if TYPE_CHECKING:
    from siftfunnel.demo.conductor import Conductor

VERSIONS_TOLD = ("siftfunnel", "onnxruntime", "grpcio", "numpy")
"""Distributions that a summary's figures depend on."""
_INTERRUPTED = 130


def add_demo_parser(subparsers: Any) -> None:
    """Add ``demo`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "demo",
        help="cloud, edge and attacker on this machine, with a page that shows what an eavesdropper gets",
        description=(
            "Start a cloud, an attacker in its path and an edge as processes on loopback, play every picture "
            "through an ordinary network and a protected one at once, and show on a page what the attacker "
            "rebuilds. Ctrl-C ends it."
        ),
    )
    what = parser.add_argument_group("what is played")
    what.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="pictures: one folder per class, or a flat folder without labels (default: the drawn faces)",
    )
    what.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="NAME",
        help="name of a shipped bundle or a bundle's folder; repeatable "
        "(default: those whose classes match the folder names best)",
    )
    what.add_argument(
        "--inverter",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="folder of the attacker's decoder for a bundle of your own, from `siftfunnel lab inverter`; "
        "repeatable",
    )
    add_flags(what, DemoConfig, "codec", "frames", "rate_fps", "seed", "tls")
    how = parser.add_argument_group("how it runs")
    names = ("headless", "summary", "http_port", "page_host", "page_names", "open_page", "log_directory")
    add_flags(how, DemoConfig, *names)
    parser.set_defaults(run=run, http_port=None)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when all its promises held, or when an endless run was ended with Ctrl-C."""
    from siftfunnel.demo.conductor import Conductor
    from siftfunnel.demo.view import make_view

    config = make_config(args, say=lambda note: print(note, flush=True))
    for note in about_inverters(config):
        print(note)
    if config.frames is not None and not config.headless:
        print(f"turns of {config.frames} frames, one after another, until Ctrl-C; --headless plays them once")
    stop = threading.Event()
    # Signals first: from here on whatever was made is also removed.
    with signals(stop.set), run_directory(config.log_directory) as directory:
        view = make_view(config.headless)
        try:
            conductor = Conductor(config, directory, view, stop)
            conductor.run(lambda url: _announce(url, config, directory))
        finally:
            view.close()
    return _conclude(conductor, config, interrupted=stop.is_set())


def make_config(args: argparse.Namespace, say: Callable[[str], None]) -> DemoConfig:
    """Turn flags into a checked configuration.

    Args:
        args: the flags.
        say: told what the user should know about the choice of networks.

    Raises:
        ValueError: a flag is out of range, or there is no bundle or picture.
    """
    images = args.images or images_directory()
    if args.images is None and not images.is_dir():
        raise ValueError(f"the drawn faces are missing from this installation ({images}); give --images DIR")
    labels = {
        label for label in pictures_below(images, say if args.images else None).values() if label is not None
    }
    library = Library.from_environment(os.environ)
    inverters = (*(own_inverter(path.resolve()) for path in args.inverter), *library.inverters)
    http_port = args.http_port
    if http_port is None:
        http_port = 8080 if port_is_free(8080, args.page_host) else 0
    chosen = choose_bundles(args.bundle, labels, library, args.codec)
    for note in chosen.notes:
        say(note)
    return from_flags(
        DemoConfig,
        args,
        images=images.resolve(),
        bundles=chosen.bundles,
        labelled=chosen.labelled,
        shipped_images=args.images is None,
        inverters=tuple(path.resolve() for path in inverters),
        frames=HEADLESS_FRAMES if args.headless and args.frames is None else args.frames,
        rate_fps=args.rate or None,
        http_port=http_port,
        page_names=(*args.page_name, *([] if is_address(args.page_host) else [args.page_host])),
        page_token=None if is_loopback(args.page_host) else secrets.token_urlsafe(18),
    )


@contextmanager
def run_directory(kept: Path | None) -> Iterator[Path]:
    """The folder a run writes to: a new one in ``kept``, or a temporary one that is removed in the end."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    started = time.strftime("%Y%m%d-%H%M%S-")
    directory = Path(tempfile.mkdtemp(prefix=f"siftfunnel-demo-{started}", dir=kept)).resolve()
    try:
        yield directory
    finally:
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            # Keys and what the curious cloud overheard are no logs.
            shutil.rmtree(directory / "certificates", ignore_errors=True)
            (directory / "flows.jsonl").unlink(missing_ok=True)


@contextmanager
def signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal ask for an orderly end, and put the old handlers back."""
    names = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {name: signal.signal(name, lambda *_: stop()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def summary_of(conductor: "Conductor") -> dict[str, Any]:
    """The JSON object of ``--summary``."""
    from siftfunnel.lab.provenance import machine, versions

    return {
        "bundles": conductor.books.as_json(),
        "settings": conductor.summary_settings(),
        "skipped": conductor.books.skipped.as_json(),
        "versions": versions(VERSIONS_TOLD),
        "machine": machine(),
    }


def _announce(url: str, config: DemoConfig, directory: Path) -> None:
    if config.log_directory is not None:
        print(f"logs: {directory}")
    url += config.page_query
    print(f"What the attacker sees: {url}", flush=True)
    if config.page_host in EVERYWHERE:
        print(f"From another machine: {url.replace('127.0.0.1', own_address(), 1)}", flush=True)
    if config.open_page:
        import webbrowser

        webbrowser.open(url)


def _conclude(conductor: "Conductor", config: DemoConfig, interrupted: bool) -> int:
    """Print and write the figures, and say loudly which promise did not hold."""
    from siftfunnel.demo.tally import shortfalls, violations
    from siftfunnel.demo.view import line
    from siftfunnel.shared.showing import printable

    books = conductor.books
    for row in books.totals(config.frames if config.headless else None):
        print(line(row))
        if answered := books.tallies[row.name, row.codec].in_words():
            print(printable(f"{row.name} ({row.codec}) answered: {answered}"))
    if skipped := len(books.skipped.reasons):
        example = printable(next(iter(books.skipped.reasons.values())))
        print(f"pictures that could not be played: {skipped}, such as {example}")
    if config.summary is not None:
        write_file(config.summary, json.dumps(summary_of(conductor), indent=2) + "\n")
        print(f"summary: {config.summary}")
    if interrupted:
        return _INTERRUPTED if config.headless else 0
    missing, short = [], []
    for (name, codec), tally in books.tallies.items():
        missing += violations(name, tally, books.attacker((name, codec)), through_relay=not config.tls)
        short += shortfalls(name, tally, config.frames)
    for text in missing:
        print(f"siftfunnel demo: FRAMES ARE MISSING: {text}", file=sys.stderr)
    for text in short:
        print(f"siftfunnel demo: {text}", file=sys.stderr)
    return 1 if missing or short else 0
