"""`siftfunnel bench serving` and `siftfunnel bench fairness`."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from siftfunnel.bench.output import add_out, show, write_json, write_text

COUNTS = (1, 10, 100, 1000)


def add_serving_parser(verbs: Any) -> None:
    """Add `serving` to the verbs of `bench`."""
    parser = verbs.add_parser(
        "serving",
        help="the cloud server against its bare model, and what it adds per frame",
        description="Pins the model to one core and a client that sends prepared frames to another, and "
        "measures throughput, latency at half load and cost per stream. Needs Linux and two cores that have "
        "nothing else to do.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle to serve")
    parser.add_argument("--codec", action="append", help="codec (repeatable; fp32 and the bundle's default)")
    parser.add_argument("--model-core", type=int, metavar="N", help="core of the model (the first usable)")
    parser.add_argument("--client-core", type=int, metavar="N", help="core of the client (the second)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved repeats (5)")
    parser.add_argument("--frames", type=int, default=1200, metavar="N", help="frames per repeat (1200)")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of Poisson arrivals (30)")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=list(COUNTS),
        metavar="N",
        help="numbers of streams to grow to",
    )
    add_out(parser)
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the Markdown table here as well")
    parser.set_defaults(run=run_serving)


def run_serving(args: argparse.Namespace) -> int:
    """Measure everything and write one JSON object.

    Raises:
        ValueError: not Linux, fewer than two usable cores, a core that this process may not use.
    """
    from siftfunnel.bench.cores import two_cores
    from siftfunnel.bench.halves import edge_features, write_null_bundle
    from siftfunnel.bench.pages import render_serving
    from siftfunnel.bench.serving.measure import (
        LAYOUTS,
        WINDOW_FRAMES,
        Cores,
        measure_growth,
        measure_latency,
        measure_null,
        measure_throughput,
    )
    from siftfunnel.bench.serving.servers import MAX_BATCH
    from siftfunnel.lab.provenance import provenance
    from siftfunnel.shared.bundle import load_bundle

    if min(args.rounds, args.frames, *args.streams) < 1 or not args.seconds > 0:
        raise ValueError("--rounds, --frames, --streams and --seconds must be above 0")
    _allow_many_connections()
    cores = Cores(*two_cores(args.model_core, args.client_core))
    bundle = load_bundle(args.bundle)
    default = bundle.manifest.default_codec
    codecs = args.codec or list(dict.fromkeys(["fp32", default]))
    features = edge_features(bundle)
    with tempfile.TemporaryDirectory() as scratch:
        null = write_null_bundle(Path(scratch) / "null", bundle)
        result: dict[str, Any] = {
            "provenance": provenance(),
            "bundle": bundle.manifest.name,
            "digest": bundle.digest,
            "pinned": {"model_core": cores.model, "client_core": cores.client, "layouts": LAYOUTS},
            "settings": {
                "rounds": args.rounds,
                "frames_per_round": args.frames,
                "max_batch": MAX_BATCH,
                "window_frames": WINDOW_FRAMES,
                "workers": 1,
                "threads_per_model": 1,
            },
        }
        show("measuring throughput against the bare model ...")
        result["throughput"] = measure_throughput(bundle, cores, codecs, args.frames, args.rounds)
        show("measuring a model that does nothing ...")
        result["null"] = measure_null(null, features, cores, 2 * args.frames, args.rounds)
        show("measuring latency at half load ...")
        result["latency"] = [measure_latency(bundle, cores, codec, args.seconds) for codec in codecs]
        show("measuring streams ...")
        result["growth"] = {
            "codec": default,
            "null": measure_growth(null, features, cores, args.streams, 2 * args.frames),
            "model": measure_growth(bundle, features, cores, args.streams, args.frames),
        }
    if args.table is not None:
        write_text(render_serving(result), args.table)
    write_json(result, args.out)
    return 0


def add_fairness_parser(verbs: Any) -> None:
    """Add `fairness` to the verbs of `bench`."""
    parser = verbs.add_parser(
        "fairness",
        help="what an honest client waits beside a greedy one",
        description="Measures an honest client's latency alone and beside a greedy one, without and with "
        "what keeps clients apart. Needs Linux and two cores that have nothing else to do.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle to serve")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of one run (10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved repeats (3)")
    add_out(parser)
    parser.set_defaults(run=run_fairness)


def run_fairness(args: argparse.Namespace) -> int:
    """Measure and write one JSON object.

    Raises:
        ValueError: not Linux, fewer than two usable cores, or nothing to measure.
    """
    from siftfunnel.bench.serving.fairness import measure_fairness
    from siftfunnel.lab.provenance import provenance

    if args.rounds < 1 or not args.seconds > 0:
        raise ValueError("--rounds and --seconds must be above 0")
    write_json(
        {"provenance": provenance(), **measure_fairness(args.bundle, args.rounds, args.seconds)}, args.out
    )
    return 0


def _allow_many_connections() -> None:
    """A connection is an open file, here and in the server, which inherits the limit."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
