"""A profile's settings in words, and the machines and commits behind its results: what heads every table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from siftfunnel.lab.reports.study.paper import FAMILIES
from siftfunnel.lab.reports.study.results import EQUAL, LEFT_OUT, Result, RowResult, Study, dig

PAPER_INPUT_SIZE = 64
PAPER_WIDTHS: Mapping[str, int] = {"cnn": 128, "resnet18": 64, "vgg16": 64}
"""The width at which each family is the paper's network."""

_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
_LEVEL = "not comparable in level with the paper's {size}x{size}, width {width}, 200 to 300 epochs"


def profile_words(study: Study, rows: Sequence[RowResult], family: str | None = None) -> str:
    """The settings that rows were made with, in one sentence.

    Args:
        study: The profile.
        rows: The rows that are shown; sizes of sets are theirs.
        family: Whose width to name; None names those of all rows.

    Returns:
        For instance "CPU profile: 32x32, width 32, 10,000 training pictures, 12 epochs, 256 attacked
        pictures, one seed; not comparable in level with the paper's 64x64, width 128, 200 to 300 epochs."
    """
    results = [result for row in rows for result in row.results] or list(study.every_result())
    settings = results[0]["profile_settings"]
    families = [family] if family else list(dict.fromkeys(dig(r, "network", "family") for r in results))
    size = settings.get("input_size") or dig(results[0], "network", "input_size")
    parts = [f"{size}x{size}"] if size else []
    parts += _widths([name for name in families if name], settings, results)
    parts += _amounts(settings, results)
    parts.append(_seeds(rows or tuple(study.rows.values())))
    return f"{profile_name(study)}: {', '.join(parts)}; {_beside_the_paper(size, families)}."


def profile_name(study: Study) -> str:
    """As the profile's label begins, or its bare name."""
    for result in study.every_result():
        label = result["profile_settings"].get("label")
        if isinstance(label, str) and label:
            return label.split(":")[0]
    return f"Profile {study.profile}"


def _widths(families: Sequence[str], settings: Mapping[str, Any], results: Sequence[Result]) -> list[str]:
    named = {label: name for name, label in FAMILIES.items()}
    parts = []
    for family in families:
        own = next(
            (dig(r, "network", "width") for r in results if dig(r, "network", "family") == family), None
        )
        width = own or dig(settings, "widths", family) or settings.get("width")
        if width:
            parts.append(f"width {width}" + (f" ({named.get(family, family)})" if len(families) > 1 else ""))
    return parts


def _amounts(settings: Mapping[str, Any], results: Sequence[Result]) -> list[str]:
    train = dig(results[0], "dataset", "train")
    epochs, attacked = settings.get("epochs"), settings.get("attacked_pictures")
    if attacked is None:
        attacked = next(
            (
                pictures
                for r in results
                for a in r.get("attacks", {}).values()
                if (pictures := dig(a, "scores", "pictures"))
            ),
            None,
        )
    return [
        f"{count:,} {noun}"
        for count, noun in ((train, "training pictures"), (epochs, "epochs"), (attacked, "attacked pictures"))
        if isinstance(count, int)
    ]


def _seeds(rows: Sequence[RowResult]) -> str:
    counts = sorted({len(row.results) for row in rows})
    if not counts:
        return "one seed"
    spelled = [_COUNTS.get(count, str(count)) for count in counts]
    return f"{' to '.join(dict.fromkeys((spelled[0], spelled[-1])))} {'seed' if counts == [1] else 'seeds'}"


def _beside_the_paper(size: Any, families: Sequence[str | None]) -> str:
    family = families[0] if len(families) == 1 and families[0] else "cnn"
    width = PAPER_WIDTHS.get(family, PAPER_WIDTHS["cnn"])
    return _LEVEL.format(size=PAPER_INPUT_SIZE, width=width)


def provenance_lines(results: Iterable[Result]) -> list[str]:
    """Machines and commits of training, attacks and measurement, each once.

    A commit that is not known is said to be so.
    """
    machines: dict[str, None] = {}
    commits: dict[str, None] = {}
    for made_with in _provenances(results):
        if machine := _machine(dig(made_with, "machine")):
            machines.setdefault(machine)
        commit = made_with.get("commit")
        commits.setdefault(str(commit)[:10] if commit else "unknown")
    return [
        f"Machine: {'; '.join(machines) or 'unknown'}. Commit: {', '.join(commits) or 'unknown'}.",
    ]


def _provenances(results: Iterable[Result]) -> Iterable[Mapping[str, Any]]:
    for result in results:
        attacks = result.get("attacks", {})
        found = [dig(result, "training", "provenance"), result.get("provenance")]
        found += [dig(attack, "provenance") for attack in attacks.values()]
        yield from (one for one in found if isinstance(one, Mapping))


def _machine(machine: Any) -> str:
    if not isinstance(machine, Mapping):
        return ""
    parts = [str(machine[key]) for key in ("processor", "gpu", "accelerator") if machine.get(key)]
    if cores := machine.get("cores"):
        parts.append(f"{cores} cores")
    return ", ".join(parts)


def rows_on_other_terms(study: Study) -> dict[str, list[str]]:
    """Rows whose settings are not those of most rows of the profile, with the settings that differ.

    Rows at equal accuracy are trained on terms of their own and left out.

    Example:
        >>> rows_on_other_terms(Study("cpu", {}, {}))
        {}
    """
    settings = {
        name: row.first["profile_settings"] for name, row in study.rows.items() if not name.endswith(EQUAL)
    }
    if not settings:
        return {}
    common = max(settings.values(), key=lambda one: sum(one == other for other in settings.values()))
    differing = {
        name: sorted(key for key in {*common, *own} if common.get(key) != own.get(key))
        for name, own in settings.items()
    }
    return {name: keys for name, keys in differing.items() if keys}


def preamble(study: Study, rows: Sequence[RowResult], family: str | None = None) -> tuple[str, ...]:
    """The paragraphs that head a document."""
    results = [result for row in rows for result in row.results]
    parts = [profile_words(study, rows, family), *provenance_lines(results or study.every_result())]
    shown = {row.name for row in rows}
    others = {name: keys for name, keys in rows_on_other_terms(study).items() if name in shown}
    if others:
        listed = "; ".join(f"{name} ({', '.join(keys)})" for name, keys in others.items())
        parts.append(f"**Not on equal terms:** these rows ran with other settings: {listed}.")
    stale = [row.name for row in rows if any(result.get(LEFT_OUT) for result in row.results)]
    if stale:
        parts.append(
            "**Left out:** MINE and distance correlation of rows whose test pictures came in class order and "
            f"that were not measured anew: {', '.join(stale)}."
        )
    return tuple(parts)


def chance(rows: Sequence[RowResult]) -> float:
    """Rank-1 of a guess: one over the number of attacked pictures; NaN where nothing was attacked.

    Example:
        >>> chance([])
        nan
    """
    for row in rows:
        for attack in row.first["attacks"].values():
            pictures = dig(attack, "scores", "pictures")
            if isinstance(pictures, int) and pictures:
                return 1 / pictures
    return math.nan
