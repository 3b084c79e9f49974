"""A profile's settings in words, and the machines and commits behind its results: what heads every table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from siftfunnel.lab.evaluation.ranking import suite_told
from siftfunnel.lab.reports.study.paper import FAMILIES
from siftfunnel.lab.reports.study.results import EQUAL, LEFT_OUT, Result, RowResult, Study, dig

PAPER_WIDTHS: Mapping[str, int] = {"cnn": 128, "resnet18": 64, "vgg16": 64}
"""The width at which each family is the paper's network."""

_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


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
    attacked = settings.get("attacked_pictures", next(iter(attacked_pictures(results)), None))
    counts = {
        "training pictures": dig(results[0], "dataset", "train"),
        "epochs": settings.get("epochs"),
        "attacked pictures": attacked,
    }
    parts = [f"{size}x{size}"] if size else []
    parts += _widths([name for name in families if name], settings, results)
    parts += [f"{count:,} {noun}" for noun, count in counts.items() if isinstance(count, int)]
    parts.append(_seeds(rows or tuple(study.rows.values())))
    width = PAPER_WIDTHS.get(families[0] if len(families) == 1 else "cnn", PAPER_WIDTHS["cnn"])
    beside = f"not comparable in level with the paper's 64x64, width {width}, 200 to 300 epochs"
    return f"{profile_name(study)}: {', '.join(parts)}; {beside}."


def profile_name(study: Study) -> str:
    """As the profile's label begins, or its bare name."""
    labels = (result["profile_settings"].get("label") for result in study.every_result())
    found = next((label for label in labels if isinstance(label, str) and label), f"Profile {study.profile}")
    return found.split(":")[0]


def attacked_pictures(results: Iterable[Result]) -> Iterable[int]:
    """How many pictures each attack was scored on."""
    for result in results:
        for attack in result.get("attacks", {}).values():
            pictures = dig(attack, "scores", "pictures")
            if isinstance(pictures, int) and pictures:
                yield pictures


def _widths(families: Sequence[str], settings: Mapping[str, Any], results: Sequence[Result]) -> list[str]:
    named = {label: name for name, label in FAMILIES.items()}
    parts = []
    for family in families:
        of_family = (r for r in results if dig(r, "network", "family") == family)
        own = next((dig(result, "network", "width") for result in of_family), None)
        width = own or dig(settings, "widths", family) or settings.get("width")
        if width:
            parts.append(f"width {width}" + (f" ({named.get(family, family)})" if len(families) > 1 else ""))
    return parts


def _seeds(rows: Sequence[RowResult]) -> str:
    counts = sorted({len(row.results) for row in rows}) or [1]
    spelled = [_COUNTS.get(count, str(count)) for count in counts]
    return f"{' to '.join(dict.fromkeys((spelled[0], spelled[-1])))} {'seed' if counts == [1] else 'seeds'}"


def provenance_line(results: Iterable[Result]) -> str:
    """Machines and commits of training, attacks and measurement, each once.

    A commit that is not known is said to be so.
    """
    made = list(_provenances(results))
    machines = filter(None, dict.fromkeys(_machine(dig(each, "machine")) for each in made))
    commits = dict.fromkeys(str(each.get("commit") or "unknown")[:10] for each in made)
    return f"Machine: {'; '.join(machines) or 'unknown'}. Commit: {', '.join(commits) or 'unknown'}."


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
    return ", ".join([*parts, *([f"{machine['cores']} cores"] if machine.get("cores") else [])])


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
    often = [*settings.values()]
    common: Mapping[str, Any] = max(often, key=often.count, default={})
    return {
        name: keys
        for name, own in settings.items()
        if (keys := sorted(key for key in {*common, *own} if common.get(key) != own.get(key)))
    }


def preamble(study: Study, rows: Sequence[RowResult], family: str | None = None) -> tuple[str, ...]:
    """The paragraphs that head a document."""
    results = [result for row in rows for result in row.results]
    shown_results = results or list(study.every_result())
    attacked = [result for result in shown_results if result.get("attacks") or result.get("points")]
    suites = dict.fromkeys(suite_told(result) for result in attacked) or ("none",)
    told = "".join(
        f" {line}." for line in study.agreement if any(result.get("suite") for result in shown_results)
    )
    parts = [profile_words(study, rows, family), f"Attacks: {'; '.join(suites)}.{told}"]
    parts.append(provenance_line(shown_results))
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
    pictures = next(iter(attacked_pictures(row.first for row in rows)), None)
    return 1 / pictures if pictures else math.nan
