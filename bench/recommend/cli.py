"""``siftfunnel bench recommend``: the best split and codec for a link, with the numbers behind it."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from siftfunnel.bench.cells.result import MODES, Cell
from siftfunnel.bench.links.probe import measure
from siftfunnel.bench.recommend.answers import (
    Links,
    Recommendation,
    answer_section,
    by_task,
    measured_links,
    recommend,
    recommendation_json,
)
from siftfunnel.bench.recommend.prediction import Network, Percentile
from siftfunnel.bench.recommend.verdicts import Limits
from siftfunnel.bench.report.cli import CELLS, LeakageSources
from siftfunnel.bench.report.sources import read_cells
from siftfunnel.lab.reports.pages import table_text
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import add_flags, from_flags

SCENARIO = "SingleStream"
EPILOG = """\
A link is a profile's name (`siftfunnel bench links` lists them), figures, or measured towards a server:
  siftfunnel bench recommend --link slow-4g --least-accuracy 0.8 --most-psnr 25
  siftfunnel bench recommend --up-kbit 400 --down-kbit 2000 --rtt-ms 120 --latency-budget-ms 250
  python -m siftfunnel.bench.links.probe serve 0.0.0.0        (at the server; prints its port)
  siftfunnel bench recommend --probe SERVER:PORT   (at the device)
Without a link: every link that was measured."""


def add_recommend_parser(verbs: Any) -> None:
    """Add ``bench recommend``."""
    parser = verbs.add_parser(
        "recommend",
        help="the best split and codec for a link, the runners-up, and why each other one lost",
        description="Judges every way that was measured: its latency over the link, measured or predicted, "
        "its accuracy, its bytes and what it leaks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="result files of `bench run` (default: those that ship with siftfunnel)",
    )
    parser.add_argument("--task", metavar="NAME", help="only this data set (default: all in the files)")
    parser.add_argument("--scenario", default=SCENARIO, help="of the cells (default: %(default)s)")
    _add_link_arguments(parser)
    _add_limit_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_flags(parser, LeakageSources)
    parser.set_defaults(run=run_recommend)


def _add_link_arguments(parser: argparse.ArgumentParser) -> None:
    link = parser.add_argument_group("link")
    link.add_argument("--link", action="append", metavar="NAME", help="a profile (repeatable)")
    link.add_argument("--up-kbit", type=float, metavar="KBIT_S", help="rate from device to cloud")
    link.add_argument("--down-kbit", type=float, metavar="KBIT_S", help="rate from cloud to device")
    link.add_argument("--rtt-ms", type=float, metavar="MS", help="round trip")
    link.add_argument("--probe", metavar="HOST:PORT", help="measure the link towards a running probe")


def _add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    add_flags(limits, Limits)
    limits.add_argument(
        "--without",
        action="append",
        choices=MODES,
        default=[],
        help="not this mode (repeatable), as edge-only where the device must not hold the whole network",
    )
    limits.add_argument(
        "--percentile",
        choices=get_args(Percentile),
        default="p90",
        help="of latency (default: %(default)s)",
    )


def run_recommend(args: argparse.Namespace) -> int:
    """Print answers; 1 where no link has one.

    Raises:
        ValueError: a file, link, task or limit that cannot be used; says which and what to do.
    """
    limits = from_flags(Limits, args, without=tuple(args.without))
    links = asked_links(args)
    cells = read_cells(_files(args.files)).cells
    leakage = from_flags(LeakageSources, args).book()
    made = {
        task: recommend(group, links or measured_links(group), leakage, args.percentile, limits)
        for task, group in _wanted(cells, args.task, args.scenario).items()
    }
    print(_json(made, limits, args.scenario) if args.json else _text(made), end="")
    answered = any(answer.best for each in made.values() for answer in each.answers)
    return 0 if answered else 1


def _files(named: Sequence[Path]) -> Sequence[Path]:
    if named:
        return named
    if not CELLS.is_file():
        raise FileNotFoundError(
            f"no measured cells in {CELLS}; measure some with `siftfunnel bench run` and name their file"
        )
    return [CELLS]


def _wanted(cells: Sequence[Cell], task: str | None, scenario: str) -> dict[str, list[Cell]]:
    """Cells of the scenario by task, or those of one."""
    if not cells:
        raise ValueError("the files hold no cells; measure some with `siftfunnel bench run`")
    for what, wanted, known in (
        ("", task, by_task(cells)),
        ("scenario ", scenario, dict.fromkeys(cell.scenario for cell in cells)),
    ):
        if wanted is not None and wanted not in known:
            raise ValueError(f"no cells of {what}{wanted!r}; there are {', '.join(known)}")
    found = by_task(cell for cell in cells if cell.scenario == scenario)
    if task is not None and task not in found:
        raise ValueError(f"no cells of {task!r} in scenario {scenario!r}")
    return {name: group for name, group in found.items() if task in (None, name)}


def asked_links(args: argparse.Namespace) -> Links:
    """The links that the arguments name; none of them means every measured one.

    Raises:
        ValueError: figures of a link that are incomplete or impossible.
        OSError: no probe answers.
    """
    links: dict[str, Network | None] = dict.fromkeys(args.link or ())
    figures = (args.rtt_ms, args.up_kbit, args.down_kbit)
    if any(figure is not None for figure in figures):
        if any(figure is None for figure in figures):
            raise ValueError("a link by figures needs all of --up-kbit, --down-kbit and --rtt-ms")
        links["your link"] = Network(*figures)
    if args.probe is not None:
        made = measure(Endpoint.parse(args.probe), None)
        links[f"the link to {args.probe}"] = Network.of_calibration(made)
    return links


def _text(made: dict[str, Recommendation]) -> str:
    tables = [answer_section(answer, each.error) for each in made.values() for answer in each.answers]
    return "\n\n".join(map(table_text, tables)) + "\n"


def _json(made: dict[str, Recommendation], limits: Limits, scenario: str) -> str:
    values = {
        "schema": 1,
        "scenario": scenario,
        "limits": asdict(limits),
        "tasks": {task: recommendation_json(each) for task, each in made.items()},
    }
    return json.dumps(values, indent=1, allow_nan=False) + "\n"
