"""`siftfunnel bench`: figures of this machine as JSON, each with what it was measured on."""

from pathlib import Path
from typing import Any

from siftfunnel.bench.cells.cli import add_run_parser
from siftfunnel.bench.edge.cli import add_codecs_parser, add_edge_parser
from siftfunnel.bench.links.cli import add_links_parser
from siftfunnel.bench.loss_step import add_loss_step_parser
from siftfunnel.bench.peers.cli import add_peers_parser
from siftfunnel.bench.recommend.cli import add_recommend_parser
from siftfunnel.bench.report.cli import add_report_parser, add_tables_parser
from siftfunnel.bench.serving.cli import add_fairness_parser, add_serving_parser

VERBS = (
    add_loss_step_parser,
    add_edge_parser,
    add_codecs_parser,
    add_links_parser,
    add_run_parser,
    add_peers_parser,
    add_report_parser,
    add_recommend_parser,
    add_tables_parser,
    add_serving_parser,
    add_fairness_parser,
)


def add_bench_parser(subparsers: Any, bundles_default: tuple[Path, ...] = ()) -> None:
    """Add `bench` with its verbs to the console."""
    parser = subparsers.add_parser("bench", help="measure the edge and the service on this machine")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for add in VERBS:
        add(verbs)
