"""`siftfunnel bench`: figures of this machine as JSON, each with what it was measured on."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siftfunnel.bench.announced import announced
from siftfunnel.bench.cells.cli import add_run_parser
from siftfunnel.bench.edge.against_jpeg import add_codecs_parser
from siftfunnel.bench.edge.cli import add_edge_parser
from siftfunnel.bench.peers.cli import add_peers_parser
from siftfunnel.bench.recommend.cli import add_recommend_parser
from siftfunnel.bench.report.cli import add_report_parser, add_tables_parser
from siftfunnel.bench.serving.cli import add_serving_parser
from siftfunnel.shared.children import python_module
from siftfunnel.shared.files import write_file

PARTS = ("edge-latency", "install", "first-answer", "stream")


def add_bench_parser(subparsers: Any, bundles_default: tuple[Path, ...] = ()) -> None:
    """Add `bench figures` to the console."""
    parser = subparsers.add_parser("bench", help="measure the edge and the service on this machine")
    verbs = parser.add_subparsers(dest="verb", required=True)
    figures = verbs.add_parser(
        "figures",
        help="edge latency, install size, memory, first answer, one stream against the bare model",
        description="Measures on this machine and writes JSON. Starts a server of its own on loopback.",
    )
    figures.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle to serve")
    figures.add_argument(
        "--picture", type=Path, required=True, metavar="FILE", help="picture for the first answer"
    )
    figures.add_argument("--only", choices=PARTS, action="append", help="measure this part only (repeatable)")
    figures.add_argument("--rounds", type=int, default=200, help="timed pictures per edge half (200)")
    figures.add_argument("--frames", type=int, default=2000, help="frames per round of a stream (2000)")
    figures.add_argument(
        "--codec", action="append", help="codec of the stream (repeatable; fp32 and the default)"
    )
    figures.add_argument(
        "--out", type=Path, metavar="FILE", help="write the JSON here instead of standard output"
    )
    figures.set_defaults(run=run_figures)
    loss = verbs.add_parser(
        "loss-step",
        help="the funnel's loss step against a literal reading of its formulas (needs the extra lab)",
        description="Times both interleaved on one thread and measures the peak memory of one step of each.",
    )
    loss.add_argument("--rounds", type=int, default=5, help="timed steps of each (5)")
    loss.add_argument(
        "--out", type=Path, metavar="FILE", help="write the JSON here instead of standard output"
    )
    loss.set_defaults(run=run_loss_step)

    add_edge_parser(verbs)
    add_codecs_parser(verbs)
    links = verbs.add_parser(
        "links",
        help="list the emulated links, or lay some and measure what they do",
        description="Without a name: the links that can be emulated, with where their numbers come from. "
        "With names: lays each with the best emulation that this machine offers and measures it, ten seconds "
        "a link or, where it is slow, up to a minute. Packets are emulated as root (netem, else TUN "
        "interfaces between two network namespaces); without those rights a relay keeps rate and delay of a "
        "TCP connection.",
    )
    links.add_argument("names", nargs="*", metavar="LINK", help="links to measure")
    links.add_argument(
        "--emulation", choices=("netem", "tun", "relay"), help="this one and no other (default: the best)"
    )
    links.add_argument("--out", type=Path, metavar="FILE", help="write what was measured as JSON here")
    links.set_defaults(run=run_links)
    add_run_parser(verbs)
    add_peers_parser(verbs)

    for add in (add_report_parser, add_recommend_parser, add_tables_parser):
        add(verbs)
    add_serving_parser(verbs)


def run_links(args: argparse.Namespace) -> int:
    """List links, or measure some.

    Raises:
        ValueError: an unknown link, or one that cannot be laid here in the way asked for.
    """
    from dataclasses import asdict

    from siftfunnel.bench.links.link import LIMITS, open_link
    from siftfunnel.bench.links.namespaces import LinkUnavailableError
    from siftfunnel.bench.links.profiles import PROFILES, link_profile
    from siftfunnel.lab.provenance import provenance

    if not args.names:
        for profile in PROFILES.values():
            print(f"{profile.name:10} {profile}  ({profile.source})")
        return 0
    measured = []
    for profile in [link_profile(name) for name in args.names]:
        try:
            with open_link(profile, args.emulation) as link:
                print(f"{profile.name}: asked {profile}; kept by {LIMITS[link.emulation]}")
                for refusal in link.refused:
                    print(f"  not by {refusal}")
                made = link.calibrate()
        except LinkUnavailableError as error:
            raise ValueError(f"link {profile.name}: {error}") from error
        print(f"  measured {made}")
        measured.append(
            {
                "link": asdict(profile),
                "emulation": link.emulation,
                "refused": list(link.refused),
                "measured": asdict(made),
            }
        )
    if args.out is not None:
        _write({"provenance": provenance(), "links": measured}, args.out)
    return 0


def run_figures(args: argparse.Namespace) -> int:
    """Measure the parts asked for and write one JSON object."""
    from siftfunnel.bench.edge.latency import measure_edge
    from siftfunnel.bench.footprint import measure_first_answer, measure_install
    from siftfunnel.bench.throughput import measure_stream
    from siftfunnel.lab.provenance import provenance
    from siftfunnel.shared.bundle import load_bundle

    bundle = load_bundle(args.bundle)
    codecs = args.codec or list(dict.fromkeys(["fp32", bundle.manifest.default_codec]))
    project = Path(__file__).resolve().parent.parent
    measures: dict[str, Callable[[str], Any]] = {
        "edge-latency": lambda server: measure_edge(rounds=args.rounds),
        "install": lambda server: measure_install(project),
        "first-answer": lambda server: measure_first_answer(args.bundle, server, args.picture),
        "stream": lambda server: [
            measure_stream(args.bundle, server, codec=codec, frames=args.frames) for codec in codecs
        ],
    }
    result: dict[str, Any] = {
        "provenance": provenance(),
        "bundle": bundle.manifest.name,
        "digest": bundle.digest,
    }
    with running_cloud(args.bundle) as server:
        for part in args.only or PARTS:
            print(f"measuring {part} ...", file=sys.stderr)
            result[part.replace("-", "_")] = measures[part](server)
    _write(result, args.out)
    return 0


def run_loss_step(args: argparse.Namespace) -> int:
    """Measure the loss step and write one JSON object."""
    from siftfunnel.bench.loss_step import measure_loss_step
    from siftfunnel.lab.provenance import provenance

    _write({"provenance": provenance(), "loss_step": measure_loss_step(rounds=args.rounds)}, args.out)
    return 0


def _write(result: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(result, indent=2) + "\n"
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, text)


@contextmanager
def running_cloud(bundle: Path) -> Iterator[str]:
    """A cloud server of its own process on a free loopback port; gives its HOST:PORT."""
    command = python_module("siftfunnel", "cloud", "--bundle", str(bundle))
    command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "warning"]
    with announced(command) as (_, told):
        yield told["grpc"]
