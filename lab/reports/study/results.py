"""Reading result files: ``RESULTS/<profile>/<row>.json``, with ``-seed2`` and so on for further seeds.

A result may be half done: what has not been measured or attacked yet is missing and stays missing. Files
that cannot be used are named and left out. Files of two profiles never meet in one ``Study``, and attacks of
two suites or budgets never in one table: ``RESULTS/<profile>/<budget>/`` has those under other budgets than
the profile's own, ``RESULTS/<profile>/before/`` those that AutoInvert replaced.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from siftfunnel.lab.evaluation.ranking import agreement_told, columns_of
from siftfunnel.lab.reports.study.paper import group_of
from siftfunnel.lab.reports.table import Figure
from siftfunnel.shared.json_fields import parse_object

SCHEMA = 1
RESULTS = Path(__file__).resolve().parents[2] / "results"
EQUAL, WEIGHT = "-equal", "-weight-"
FIGURE2 = "figure2"
BEFORE = "before"
BUDGETS = ("fast", "standard", "thorough")
"""Of AutoInvert, the shortest first."""
ONE, MANY = "1", "16"
"""Columns of a result: the strongest attack from one frame, and from as many as attackers average."""

Result = Mapping[str, Any]


class ResultsError(ValueError):
    """No results, or none of the profile asked for: says how to make them."""


def dig(values: Any, *path: str) -> Any:
    """What lies under a path of keys, or None.

    Example:
        >>> dig({"a": {"b": 1}}, "a", "b"), dig({"a": 3}, "a", "b")
        (1, None)
    """
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return None
        values = values[key]
    return values


def dig_number(values: Any, *path: str) -> float | None:
    """The number under a path of keys, or None."""
    found = dig(values, *path)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return float(found)


@dataclass(frozen=True)
class RowResult:
    """One row of one profile, all of its seeds.

    Attributes:
        name: The row.
        results: One file's contents per seed, by rising seed.
    """

    name: str
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """The result of the lowest seed."""
        return self.results[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(int(result["seed"]) for result in self.results)

    def figure(self, *path: str, ci95: tuple[str, ...] = ()) -> Figure | None:
        """The number under a path of keys, with the interval under another; None if no seed has it."""
        found = [result for result in self.results if dig_number(result, *path) is not None]
        values = [dig_number(result, *path) or 0.0 for result in found]
        if not values:
            return None
        if len(values) > 1:
            return Figure(fmean(values), seeds=len(values), spread=stdev(values))
        interval = dig(found[0], *ci95) if ci95 else None
        if not (isinstance(interval, list) and len(interval) == 2):
            return Figure(values[0])
        return Figure(values[0], float(interval[0]), float(interval[1]))

    def standard(self, attack: str, metric: str, statistic: str = "mean") -> Figure | None:
        """A standard score of an attack; the interval goes with the mean."""
        path = ("attacks", attack, "scores", "standard", metric)
        return self.figure(*path, statistic, ci95=(*path, "ci95") if statistic == "mean" else ())

    def attack_keys(self) -> tuple[str, ...]:
        """Attacks that any seed ran, in the order of the files."""
        return tuple(dict.fromkeys(key for result in self.results for key in result["attacks"]))

    def column(self, frames: str, key: str, *, ci95: str = "") -> Figure | None:
        """A figure of the strongest attack from one frame or from many, each seed's own."""
        return self.figure("columns", frames, key, ci95=("columns", frames, ci95) if ci95 else ())

    def chosen(self, frames: str, key: str = "attack") -> str | None:
        """The attack that a column is of, or its ``identity_attack``; of the first seed."""
        found = dig(self.first, "columns", frames, key)
        return found if isinstance(found, str) else None

    def strongest(self) -> str | None:
        """The attack with the highest mean PSNR; None before any has run."""
        scored = {key: self.standard(key, "psnr_db") for key in self.attack_keys()}
        known = {key: figure.value for key, figure in scored.items() if figure is not None}
        return max(known, key=lambda key: known[key]) if known else None


@dataclass(frozen=True)
class Study:
    """Everything of one profile.

    Attributes:
        profile: Its name.
        rows: Rows by name, all attacked by one suite with one budget: AutoInvert with the one that most rows
            have, the longest of those, or the attacks before it where there is no other. A row that was not
            attacked so has no attacks.
        figure2: Contents of ``figure2-<family>.json`` by family, of the lowest seed; schema in
            ``siftfunnel.lab.study.figure2``.
        budgets: AutoInvert's rows by budget, the shortest first.
        earlier: Rows as they were attacked before AutoInvert.
        agreement: How far the rows' budget is from longer ones, in words.
    """

    profile: str
    rows: Mapping[str, RowResult]
    figure2: Mapping[str, Result]
    budgets: Mapping[str, Mapping[str, RowResult]] = field(default_factory=dict)
    earlier: Mapping[str, RowResult] = field(default_factory=dict)
    agreement: tuple[str, ...] = ()

    def every_result(self) -> Iterator[Result]:
        """Each file's contents, Figure 2 included."""
        for row in self.rows.values():
            yield from row.results
        yield from self.figure2.values()


def read_results(root: Path, warn: Callable[[str], None]) -> dict[str, Study]:
    """All profiles under a folder, by name; what cannot be used is told to ``warn`` and left out.

    JSON files whose ``kind`` is none that tables know (``row`` or ``figure2``) are another tool's and are
    passed over without a word.

    Raises:
        ResultsError: nothing to read.
    """
    found: dict[str, list[Result]] = {}
    places = ("", *(f"{folder}/" for folder in (BEFORE, *BUDGETS)))
    for path in sorted(path for place in places for path in root.glob(f"*/{place}*.json")):
        try:
            result = _read(path)
        except (OSError, ValueError) as error:
            warn(f"{error}; left out")
            continue
        if result is not None:
            found.setdefault(result["profile"], []).append(result)
    if not found:
        raise ResultsError(
            f"no results in {root}: make some with `siftfunnel lab run cifar10-cnn-none --profile cpu`, or "
            "name another folder with --results"
        )
    stored = root / "agreement.json"
    pairs = parse_object(stored.read_bytes(), str(stored))["pairs"] if stored.is_file() else []
    return {profile: _study(profile, results, pairs) for profile, results in found.items()}


def _read(path: Path) -> Result | None:
    result = parse_object(path.read_bytes(), str(path))
    if result.get("kind", "row") not in ("row", FIGURE2):
        return None
    try:
        check_result(path, result)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    attacks = result.get("attacks", {})
    if "columns" not in result and all("frames" in attack for attack in attacks.values()):
        result = {**result, "columns": columns_of(attacks)}
    return in_fair_order(result)


OF_CLASS_ORDER = ("mine", "distance_correlation_biased", "distance_correlation_unbiased")
"""Information figures of the test pictures that depend on the order in which those came."""


def in_fair_order(result: Result) -> Result:
    """The result without information figures that were measured on pictures in class order.

    Results say how many pictures their distance correlation is of since pictures come in an order that says
    nothing of them; before, its 128 were all of one or two classes, and so were MINE's foreign pairs.
    """
    information = result.get("information")
    if not isinstance(information, Mapping) or "distance_correlation_pictures" in information:
        return result
    kept = {key: value for key, value in information.items() if key not in OF_CLASS_ORDER}
    return {**result, "information": kept, LEFT_OUT: True}


LEFT_OUT = "left_out_for_class_order"


def check_result(path: Path, result: Result) -> None:
    """Refuse a result without its identity, or in another profile's folder or under another row's name.

    Raises:
        ValueError: says what is wrong.
    """
    if result.get("schema") != SCHEMA:
        raise ValueError(f"has schema {result.get('schema')!r}, this program reads {SCHEMA}; make it again")
    is_row = result.get("kind", "row") == "row"
    wanted: dict[str, type] = {"profile": str, "seed": int, "profile_settings": dict, "dataset": dict}
    wanted |= {"row": str, "attacks": dict} if is_row else {"family": str, "points": list}
    wrong = [key for key, kind in wanted.items() if not isinstance(result.get(key), kind)]
    if wrong:
        raise ValueError(f"has no usable {', '.join(wrong)}")
    folder = path.parent.parent if path.parent.name in (BEFORE, *BUDGETS) else path.parent
    if result["profile"] != folder.name:
        raise ValueError(
            f"is of profile {result['profile']!r} but lies in {folder.name!r}; profiles are never mixed"
        )
    if is_row:
        group_of(result["row"])
    name = result["row"] if is_row else f"{FIGURE2}-{result['family']}"
    allowed = {name, f"{name}-seed{result['seed']}"}
    if path.stem not in allowed:
        raise ValueError(f"holds {name} of seed {result['seed']}, which its name does not say")
    attacks = result["attacks"].values() if is_row else ()
    if any(dig_number(attack, "scores", "standard", "psnr_db", "mean") is None for attack in attacks):
        raise ValueError("has an attack whose scores lack the mean PSNR")


def _study(profile: str, results: list[Result], pairs: Sequence[Result]) -> Study:
    by_suite: dict[str, dict[str, list[Result]]] = {}
    figure2: dict[str, Result] = {}
    for result in sorted(results, key=lambda result: int(result["seed"])):
        if result.get("kind") == FIGURE2:
            figure2.setdefault(result["family"], result)
        else:
            suite = dig(result, "suite", "budget") or BEFORE
            by_suite.setdefault(str(suite), {}).setdefault(result["row"], []).append(result)
    made = {
        suite: {name: RowResult(name, tuple(seeds)) for name, seeds in rows.items()}
        for suite, rows in by_suite.items()
    }
    budgets = {budget: made[budget] for budget in BUDGETS if budget in made}
    earlier = made.get(BEFORE, {})
    budget = max(reversed(budgets), key=lambda one: _attacked(budgets[one]), default="")
    shown = budgets.get(budget, earlier)
    others = [made[suite] for suite in made if made[suite] is not shown]
    rows = {name: _unattacked(row) for other in others for name, row in other.items()} | dict(shown)
    agreement = tuple(agreement_told(pair) for pair in pairs if pair["budget"] == budget)
    return Study(profile, rows, figure2, budgets, earlier if budgets else {}, agreement)


def _attacked(rows: Mapping[str, RowResult]) -> int:
    return sum(bool(result["attacks"]) for row in rows.values() for result in row.results)


def _unattacked(row: RowResult) -> RowResult:
    """A row without the attacks of another suite; what needed none is what it is."""
    bare = ("suite", "columns", "strongest", "flags", "identity")
    kept = [{key: value for key, value in one.items() if key not in bare} for one in row.results]
    return RowResult(row.name, tuple({**one, "attacks": {}} for one in kept))
