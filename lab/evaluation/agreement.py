"""How far the shorter budgets of the suite are from the longer ones, measured on rows that both attacked.

``lab/results/agreement.json`` is written by ``siftfunnel lab agreement`` from the study's results, and every
result of a shorter budget prints what it says: whether rows keep their order, and by how much they are
understated.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import permutation_test, spearmanr

from siftfunnel.lab.evaluation.ranking import agreement_told
from siftfunnel.lab.evaluation.suite import AUTOINVERT, SUITES, VERSION, Suite
from siftfunnel.lab.metrics.intervals import ci95_of_few
from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.files import write_file

AGREEMENT = Path(__file__).resolve().parents[1] / "results" / "agreement.json"
LEAST_ROWS = 3
FIGURES = {"psnr_db": "dB", "identified": "of the pictures found"}
"""Of a column, what is compared, with its unit."""

Result = Mapping[str, Any]


def read_budgets(results: Path) -> dict[str, dict[str, Result]]:
    """Results of this version of the suite in a profile's folder and the folders in it, by budget and row."""
    found: dict[str, dict[str, Result]] = {budget: {} for budget in SUITES}
    for path in sorted([*results.glob("*.json"), *results.glob("*/*.json")]):
        result = json.loads(path.read_text())
        suite = result.get("suite") or {}
        whole = set(suite.get("attacks", {})) <= set(result.get("attacks", {}))
        if (
            (suite.get("name"), suite.get("version")) == (AUTOINVERT, VERSION)
            and whole
            and "columns" in result
        ):
            found[suite["budget"]][path.stem] = result
    return found


def agreement_of(results: Path) -> dict[str, Any]:
    """Every shorter budget beside every longer one, over the rows that both attacked in full.

    Returns:
        ``{"suite", "pairs": [{"budget", "beside", "rows", "count", "columns": {"1": {"psnr_db": FIGURE,
        "identified": FIGURE}, "16": ...}}], "provenance"}``; a FIGURE is ``{"rank_correlation" (Spearman, or
        None where all rows are equal), "p" (the share of all orders of the rows that agree as well),
        "offset", "ci95", "by_row"}``, the offset being the longer budget's minus the shorter one's mean over
        rows.

    Raises:
        ValueError: no two budgets share ``LEAST_ROWS`` rows.
    """
    found, budgets = read_budgets(results), list(SUITES)
    pairs = [
        _pair(short, long, found)
        for index, short in enumerate(budgets)
        for long in budgets[index + 1 :]
        if len(set(found[short]) & set(found[long])) >= LEAST_ROWS
    ]
    if not pairs:
        raise ValueError(
            f"{results} has no {LEAST_ROWS} rows that two budgets of {AUTOINVERT} attacked in full; make "
            "them with `siftfunnel lab run ROW... --steps attack --suite fast`, and again with another budget"
        )
    return {"suite": f"{AUTOINVERT} v{VERSION}", "pairs": pairs, "provenance": provenance()}


def _pair(short: str, long: str, found: Mapping[str, Mapping[str, Result]]) -> dict[str, Any]:
    rows = sorted(set(found[short]) & set(found[long]))
    columns = {
        frames: {
            figure: _figure(
                rows, *([found[one][row]["columns"][frames][figure] for row in rows] for one in (short, long))
            )
            for figure in FIGURES
        }
        for frames in ("1", "16")
    }
    return {"budget": short, "beside": long, "rows": rows, "count": len(rows), "columns": columns}


def _figure(rows: Sequence[str], short: Sequence[float], long: Sequence[float]) -> dict[str, Any]:
    gained_N = np.asarray(long) - np.asarray(short)
    is_flat = len(set(short)) < 2 or len(set(long)) < 2
    return {
        "rank_correlation": None if is_flat else _spearman(short, long),
        "p": None if is_flat else _chance(short, long),
        "offset": float(gained_N.mean()),
        "ci95": ci95_of_few(gained_N.tolist()),
        "by_row": dict(zip(rows, [round(float(value), 4) for value in gained_N], strict=True)),
    }


def _spearman(first_N: Sequence[float], second_N: Sequence[float]) -> float:
    return float(spearmanr(first_N, second_N).statistic)


def _chance(short: Sequence[float], long: Sequence[float]) -> float:
    made = permutation_test(
        (short,),
        lambda order: _spearman(order, long),
        permutation_type="pairings",
        alternative="greater",
        vectorized=False,
        rng=0,
    )
    return float(made.pvalue)


def write_agreement(results: Path, out: Path = AGREEMENT) -> dict[str, Any]:
    """Measure and write; see ``agreement_of``."""
    made = agreement_of(results)
    write_file(out, json.dumps(made, indent=1) + "\n")
    return made


def agreement_with(suite: Suite, place: Path = AGREEMENT) -> list[str]:
    """What is known of a budget beside longer ones, a line each; none for the longest.

    A suite that was fitted to larger pictures, or whose agreement is not measured, says so.
    """
    longer = list(SUITES)[list(SUITES).index(suite.budget) + 1 :] if suite.budget in SUITES else []
    if not longer:
        return []
    stored = json.loads(place.read_text()) if place.is_file() else {"suite": None, "pairs": []}
    is_known = stored["suite"] == f"{AUTOINVERT} v{VERSION}"
    lines = [agreement_told(pair) for pair in stored["pairs"] if is_known and pair["budget"] == suite.budget]
    if not lines:
        return [f"{suite.title}: how far it is from {' and '.join(longer)} has not been measured"]
    return [
        *lines,
        *(["(measured on 32x32; this suite was fitted to larger pictures)"] if suite.is_fitted else []),
    ]
