"""`siftfunnel bench peers`: our server beside others, on this machine."""

import argparse
import json
from pathlib import Path
from typing import Any

from siftfunnel.bench.output import add_out, show, write_json

_BUDGET = "About ten minutes with the defaults; the first run installs the peers, some minutes and 2 GB more."


def add_peers_parser(verbs: Any) -> None:
    """Add ``peers``."""
    parser = verbs.add_parser(
        "peers",
        help="the same cloud half served by other model servers, side by side",
        description="Serves one cloud half with our server, plain gRPC, Triton, Ray Serve, LitServe and "
        "MLServer, each in an environment of its own below the user's cache, loads them in turn and prints "
        f"the ratios. A peer that cannot be installed or started is named and skipped. {_BUDGET} "
        "Linux with two cores or more. Ctrl-C keeps what is measured.",
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="bundle whose cloud half is served")
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME", help="only these (all; a wrong name lists them)"
    )
    parser.add_argument(
        "--model",
        choices=("real", "null", "both"),
        default="both",
        help="cloud half, null model (%(default)s)",
    )
    parser.add_argument(
        "--clients", nargs="+", type=int, default=[1, 8, 16], metavar="N", help="loads (1 8 16)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one load (%(default)g)")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each peer (%(default)s)")
    parser.add_argument("--server-core", type=int, metavar="N", help="core of the servers (the first)")
    parser.add_argument("--client-core", type=int, metavar="N", help="core of the clients (the second)")
    add_out(parser, "after every round")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="measure nothing, print the tables of FILE"
    )
    parser.set_defaults(run=run_peers)


def run_peers(args: argparse.Namespace) -> int:
    """Measure and print, or print what was measured before.

    Raises:
        ValueError: an unknown peer, no bundle, too few cores.
    """
    from siftfunnel.bench.peers.table import render_peers

    if args.source is not None:
        print(render_peers(json.loads(args.source.read_text())), end="")
        return 0
    from siftfunnel.bench.peers.comparison import Comparison
    from siftfunnel.bench.peers.environment import cache_folder
    from siftfunnel.lab.provenance import provenance

    plan = _plan(args)
    document: dict[str, Any] = {"provenance": provenance()}

    def save() -> None:
        if args.out is not None:
            write_json(document, args.out)

    try:
        Comparison(plan, document, cache_folder(), show, save).run()
    except KeyboardInterrupt:
        save()
        kept = f"; what was measured is in {args.out}" if args.out else ""
        show(f"interrupted{kept}")
        if document.get("models"):
            print(render_peers(document), end="")
        raise
    print(render_peers(document), end="")
    return 0


def _plan(args: argparse.Namespace) -> Any:
    from siftfunnel.bench.cores import two_cores
    from siftfunnel.bench.peers.catalogue import PEERS
    from siftfunnel.bench.peers.comparison import MODELS, Plan
    from siftfunnel.shared.bundle import load_bundle

    if args.bundle is None:
        raise ValueError("name the bundle whose cloud half is served: --bundle DIR")
    server, client = two_cores(args.server_core, args.client_core)
    return Plan(
        bundle=load_bundle(args.bundle),
        peers=tuple(dict.fromkeys(args.peers or PEERS)),
        models=MODELS if args.model == "both" else (args.model,),
        clients=tuple(sorted(set(args.clients))),
        seconds=args.seconds,
        rounds=args.rounds,
        server_core=server,
        client_core=client,
    )
