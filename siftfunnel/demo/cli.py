"""``siftfunnel demo``: flags to a configuration, a run directory, signals, the JSON summary."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siftfunnel.demo.choice import DemoConfig
    from siftfunnel.demo.conductor import Conductor

HEADLESS_FRAMES = 100
_INTERRUPTED = 130


def add_demo_parser(subparsers: Any) -> None:
    """Add ``demo`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "demo",
        help="cloud, edge and attacker on this machine, with a page that shows what an eavesdropper gets",
        description=(
            "Start a cloud, an attacker in its path and an edge as processes on loopback, play an "
            "unprotected bundle and then a protected one, and show on a page what the attacker rebuilds. "
            "Ctrl-C ends it."
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
        "(default: those whose classes match the folder names)",
    )
    what.add_argument(
        "--inverter",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="the attacker's decoder for a bundle of your own; repeatable",
    )
    what.add_argument("--codec", metavar="NAME", help="how features are encoded (default: each bundle's own)")
    what.add_argument("--frames", type=int, metavar="N", help="frames through each bundle, per turn")
    what.add_argument(
        "--rate",
        type=float,
        default=10.0,
        metavar="FPS",
        help="frames per second; 0: no limit (default: %(default)g)",
    )
    what.add_argument(
        "--seed", type=int, default=0, help="of the order of the pictures (default: %(default)s)"
    )
    what.add_argument(
        "--tls", action="store_true", help="encrypt the channel; the curious cloud still listens"
    )
    how = parser.add_argument_group("how it runs")
    how.add_argument(
        "--headless",
        action="store_true",
        help=f"play each bundle once (--frames, default {HEADLESS_FRAMES}), without a live view, and end",
    )
    how.add_argument(
        "--summary", type=Path, metavar="FILE", help="write what was measured as one JSON object"
    )
    how.add_argument(
        "--http-port",
        type=int,
        metavar="PORT",
        help="of the page; 0: any (default: 8080, or any if it is taken)",
    )
    how.add_argument("--open", action="store_true", help="open the page in a browser")
    how.add_argument("--log-dir", type=Path, metavar="DIR", help="keep the parties' logs there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when all its promises held, or when an endless run was ended with Ctrl-C."""
    from siftfunnel.demo.choice import without_inverter
    from siftfunnel.demo.conductor import Conductor
    from siftfunnel.demo.view import make_view

    config = make_config(args)
    if config.summary is not None:
        config.summary.parent.mkdir(parents=True, exist_ok=True)
    for name in without_inverter(config):
        print(f"no inverter for {name}: the attacker rebuilds nothing; `siftfunnel lab inverter` trains one")
    stop = threading.Event()
    # Signals first: from here on whatever was made is also removed.
    with signals(stop.set), run_directory(config.log_directory) as directory:
        view = make_view(config.headless)
        try:
            conductor = Conductor(config, directory, view, stop)
            conductor.run(lambda url: _announce(url, config))
        finally:
            view.close()
    return _conclude(conductor, config, interrupted=stop.is_set())


def make_config(args: argparse.Namespace) -> "DemoConfig":
    """Turn flags into a checked configuration.

    Raises:
        ValueError: a flag is out of range, or no bundle fits the pictures.
    """
    from siftfunnel import shipped
    from siftfunnel.demo import ports
    from siftfunnel.demo.choice import DemoConfig, choose_bundles, folder_labels

    images = args.images or shipped.images_directory()
    if args.images is None and not images.is_dir():
        raise ValueError(f"the drawn faces are missing from this installation ({images}); give --images DIR")
    labels = folder_labels(images)
    library = shipped.Library.from_environment(os.environ)
    frames = args.frames
    if args.headless and frames is None:
        frames = HEADLESS_FRAMES
    http_port = args.http_port
    if http_port is None:
        http_port = 8080 if ports.port_is_free(8080) else 0
    return DemoConfig(
        images=images.resolve(),
        bundles=choose_bundles(args.bundle, labels, library),
        inverters=tuple(path.resolve() for path in (*args.inverter, *library.inverters)),
        codec=args.codec,
        frames=frames,
        rate_fps=args.rate or None,
        tls=args.tls,
        headless=args.headless,
        summary=args.summary,
        http_port=http_port,
        seed=args.seed,
        log_directory=args.log_dir,
        open_page=args.open,
    )


@contextmanager
def run_directory(kept: Path | None) -> Iterator[Path]:
    """The folder a run writes to: ``kept``, or a temporary one that is removed whatever happens."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        for log in kept.glob("*.log"):
            log.unlink()
        try:
            yield kept.resolve()
        finally:
            # Keys and what the curious cloud overheard are no logs.
            shutil.rmtree(kept / "certificates", ignore_errors=True)
            (kept / "flows.jsonl").unlink(missing_ok=True)
        return
    directory = Path(tempfile.mkdtemp(prefix="siftfunnel-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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
    from siftfunnel.provenance import machine, versions

    bundles = {name: tally.as_json(conductor.attacker_of(name)) for name, tally in conductor.tallies.items()}
    return {"bundles": bundles, "versions": versions(), "machine": machine()}


def _announce(url: str, config: "DemoConfig") -> None:
    print(f"What the attacker sees: {url}", flush=True)
    if config.open_page:
        import webbrowser

        webbrowser.open(url)


def _conclude(conductor: "Conductor", config: "DemoConfig", interrupted: bool) -> int:
    """Print and write the figures, and say loudly which promise did not hold."""
    from siftfunnel.demo.tally import violations
    from siftfunnel.demo.view import line

    for row in conductor.rows():
        print(line(row))
    if config.summary is not None:
        config.summary.write_text(json.dumps(summary_of(conductor), indent=2) + "\n")
        print(f"summary: {config.summary}")
    if interrupted:
        return _INTERRUPTED if config.headless else 0
    broken = [
        text
        for name, tally in conductor.tallies.items()
        for text in violations(name, tally, conductor.attacker_of(name), through_relay=not config.tls)
    ]
    for text in broken:
        print(f"siftfunnel demo: FRAMES ARE MISSING: {text}", file=sys.stderr)
    return 1 if broken else 0
