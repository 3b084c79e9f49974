"""Certificates as tables: what no attacker can beat, and an attack on the same pictures beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

from siftfunnel.lab.reports.pages import page_files
from siftfunnel.lab.reports.study.results import ResultsError, dig, dig_number
from siftfunnel.lab.reports.table import NONE, Cell, Column, Figure, Page, Table, measured, number
from siftfunnel.shared.json_fields import parse_object

SCHEMA, KIND = 1, "certificate"
Result = Mapping[str, Any]
PER_CENT = 100.0
PIXEL_DB = 60.0
"""Beyond it an error is far below that of rounding to 8 bits: nothing is bounded."""


def decibels(mse: float | None) -> Cell:
    """A mean squared error in dB of the mean error.

    Example:
        >>> decibels(0.01).text, decibels(0.0).text, decibels(None).text
        ('20.0', 'nothing', '-')
    """
    if mse is None:
        return NONE
    value = -10 * log10(mse) if mse > 0 else float("inf")
    return Cell("nothing") if value > PIXEL_DB else number(value, 1)


def read_certificates(folder: Path) -> list[Result]:
    """Every certificate in a folder, by file name.

    Raises:
        ResultsError: a file that is none.
    """
    found: list[Result] = []
    for path in sorted(folder.glob("*.json")):
        result = parse_object(path.read_bytes(), str(path))
        if (result.get("kind"), result.get("schema")) != (KIND, SCHEMA):
            raise ResultsError(f"{path}: no certificate of schema {SCHEMA}; make it again with `lab certify`")
        found.append(result)
    return found


def certificate_files(results: Path) -> dict[str, str]:
    """The page of the certificates among results, by file name; none where there are none."""
    found = read_certificates(results / "certificates")
    return page_files(certificates_page(found), "certificates") if found else {}


def certificate_page(result: Result) -> Page:
    """One certificate, for a terminal."""
    bundle = result["bundle"]
    title = f"{bundle['name']}, codec {result['codec']}: what no attacker can beat"
    return Page("certificates", bundle["name"], title, (), sections([result]))


def certificates_page(results: Sequence[Result]) -> Page:
    """All certificates beside one another."""
    return Page(
        "certificates",
        "certificates",
        "What no attacker can beat",
        (
            "Written from `lab/results/certificates`, which `siftfunnel lab certify` made. Every dB is that "
            "of the *mean* squared error over pictures: a smaller number is the stronger promise, and a mean "
            "PSNR may lawfully be higher. How to read them: [certify.md](../certify.md).",
        ),
        sections(results),
    )


def sections(results: Sequence[Result]) -> tuple[Table, ...]:
    """Those tables that have something to say."""
    made = (
        _statements(results),
        _equal_bytes(results),
        _natural(results),
        _noise(results),
        _identification(results),
        _published(results),
    )
    return tuple(table for table in made if table.rows)


def _name(result: Result) -> str:
    return f"{result['bundle']['name']} {result['codec']}"


_NAME: Column[Result] = ("bundle, codec", _name)


def _error(*path: str) -> Callable[[Result], Cell]:
    return lambda result: decibels(dig_number(result, *path))


def _statements(results: Sequence[Result]) -> Table:
    """The bracket of each bundle from one frame."""
    columns: tuple[Column[Result], ...] = (
        _NAME,
        ("attack on real pictures", _error("attack_on_pictures", "by_frames", "1", "mse")),
        ("nobody beats, sets of equal bytes", _error("equal_bytes", "sets", "mse")),
        ("attack on these sets", _error("equal_bytes", "sets", "attack_mse")),
        ("nobody beats, ruler, by bytes", _error("rate", "by_frames", "1", "mse")),
        ("ruler, by noise", _error("noise", "by_frames", "1", "mse")),
        ("attack on the ruler", _error("attack_on_ruler", "by_frames", "1", "mse")),
        ("the mean picture, ruler", _error("ruler", "mean_picture_mse")),
        ("s", lambda result: number(result["seconds"])),
        ("of a core, s", lambda result: number(result.get("cpu_seconds"))),
    )
    return Table.of(
        "bracket",
        "Attack and certificate, dB of the mean squared error",
        results,
        columns,
        intro="What is left to an attacker lies between an attack, which got so much, and what nobody beats "
        "on the same pictures. *Sets of equal bytes* speak of these sets alone; the *ruler* is Gaussian "
        "pictures with the data set's mean and covariance, not photographs. *nothing*: no error is proved.",
        notes=tuple(_reasons(results)),
    )


def _reasons(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        for part, what in (
            ("equal_bytes", "equal bytes"),
            ("noise", "noise"),
            ("identification", "identification"),
        ):
            reason = dig(result, part, "reason") or dig(result, part, "van_trees_reason")
            if reason:
                yield f"{_name(result)}, {what}: {reason}."
        ruler, side = result["ruler"], result["ruler"]["correlated_side"]
        if side < min(result["bundle"]["input"]):
            yield (
                f"{_name(result)}: the ruler correlates the {side}x{side} lowest frequencies, from "
                f"{ruler['pictures']:,} pictures; all would need {ruler['pictures_for_all_correlations']:,}."
            )


def _equal_bytes(results: Sequence[Result]) -> Table:
    searched = [result for result in results if dig(result, "equal_bytes", "sets") is not None]

    def found(start: str) -> Callable[[Result], str]:
        return lambda result: (
            f"{dig(result, 'equal_bytes', 'by_start', start, 'found')}/{result['equal_bytes']['pictures']}"
        )

    def by(start: str, key: str) -> Callable[[Result], Cell]:
        return _error("equal_bytes", "by_start", start, key)

    columns: tuple[Column[Result], ...] = (
        _NAME,
        ("found beyond the answer", found("beyond")),
        ("nobody beats", by("beyond", "mse")),
        ("attack", by("beyond", "attack_mse")),
        ("found from another picture", found("likest")),
        ("nobody beats", by("likest", "mse")),
        ("attack", by("likest", "attack_mse")),
        (
            "sets found",
            lambda result: f"{result['equal_bytes']['sets']['found']}/{result['equal_bytes']['pictures']}",
        ),
        (
            "pictures a set",
            lambda result: number(dig_number(result, "equal_bytes", "sets", "members_mean"), 1),
        ),
        ("attack on the real one alone", _error("equal_bytes", "sets", "attack_mse_on_the_real_ones")),
    )
    return Table.of(
        "equal-bytes",
        "Pictures that send exactly the same bytes",
        searched,
        columns,
        intro="Each was checked through the product's own preprocessing, ONNX Runtime and codec, as 8-bit "
        "pixels. Whatever an attacker answers, the mean of his errors over the members of a set is at least "
        "this. Of the real picture alone it says nothing to whoever knows that the others are unlikely.",
    )


def _natural(results: Sequence[Result]) -> Table:
    searched = [result for result in results if dig(result, "equal_bytes", "natural") is not None]
    path = ("equal_bytes", "natural")

    def ratio(name: str) -> Callable[[Result], Cell]:
        return lambda result: number(dig_number(result, *path, "strangeness_ratio_median", name), 2)

    columns: tuple[Column[Result], ...] = (
        _NAME,
        ("found", lambda result: f"{dig(result, *path, 'found')}/{result['equal_bytes']['pictures']}"),
        ("nobody beats", _error(*path, "mse")),
        ("attack", _error(*path, "attack_mse")),
        ("strangeness, these", ratio("natural")),
        ("beyond the answer", ratio("beyond")),
        ("from another picture", ratio("likest")),
    )
    return Table.of(
        "natural",
        "Equal bytes among natural pictures",
        searched,
        columns,
        intro="Only pictures that two denoisers, trained on disjoint real pictures, find about as natural as "
        "the real one are counted: the first guided the search, the second judged. *Strangeness* is what the "
        "judge leaves of noise, over the same for the real picture (median; 1 is as natural).",
    )


def _noise(results: Sequence[Result]) -> Table:
    rows = [(result, frames) for result in results for frames in dig(result, "noise", "by_frames") or ()]

    def at(*path: str) -> Callable[[tuple[Result, str]], Cell]:
        return lambda row: decibels(dig_number(row[0], path[0], "by_frames", row[1], *path[1:]))

    columns: tuple[Column[tuple[Result, str]], ...] = (
        ("bundle, codec", lambda row: _name(row[0])),
        ("frames", lambda row: row[1]),
        ("nobody beats: rate-distortion", at("noise", "rate_distortion")),
        ("van Trees", at("noise", "van_trees")),
        ("better of both", at("noise", "mse")),
        ("attack on the ruler", at("attack_on_ruler", "mse")),
        ("attack on real pictures", at("attack_on_pictures", "mse")),
    )
    return Table.of(
        "noise",
        "What the noise leaves open, of the ruler's pictures",
        rows,
        columns,
        intro="Each of both bounds holds at 97.5 %, so that the better of them holds at 95 %, over the "
        "choice of the pictures that it was taken on.",
    )


def _identification(results: Sequence[Result]) -> Table:
    rows = [
        (result, frames) for result in results for frames in dig(result, "identification", "identified") or ()
    ]

    def share(row: tuple[Result, str]) -> Cell:
        found = row[0]["identification"]["identified"][row[1]]
        return measured(Figure(found["share"], *found.get("ci95", ())), 1, scale=PER_CENT)

    columns: tuple[Column[tuple[Result, str]], ...] = (
        ("bundle, codec", lambda row: _name(row[0])),
        ("frames", lambda row: row[1]),
        ("gallery", lambda row: number(row[0]["identification"]["gallery"])),
        (
            "payloads that differ",
            lambda row: number(dig_number(row[0], "identification", "distinct_payloads")),
        ),
        ("identified, %", share),
        ("by chance, %", lambda row: number(row[0]["identification"]["chance"], 2, PER_CENT)),
    )
    return Table.of(
        "identification",
        "Which picture of a gallery was sent",
        rows,
        columns,
        intro="What the best of all attackers gets who holds the gallery and knows that the picture is in "
        "it: an exact figure, not an attack's; with noise, of as many draws of it. A poor likeness is no "
        "anonymity.",
    )


GUARANTEES = {
    "scalar": "scalar van Trees, dFIL with a prior",
    "dfil": "dFIL, unbiased attackers",
    "cem": "CEM's entropy bound",
    "fsinfo": "FSInfo's log det(J'J)",
}
"""Published guarantees, as rows name them."""


def _published(results: Sequence[Result]) -> Table:
    rows = [(result, each) for result in results for each in dig(result, "published", "guarantees") or ()]

    def verdict(row: tuple[Result, Mapping[str, Any]]) -> str:
        told = row[1]
        if told["name"] == "fsinfo":
            return f"{told['is']}: rank at most {told['rank_at_most']:,.0f} of {told['pixels']:,} pixels"
        return str(told["is"])

    columns: tuple[Column[tuple[Result, Mapping[str, Any]]], ...] = (
        ("bundle, codec", lambda row: _name(row[0])),
        ("guarantee", lambda row: GUARANTEES[row[1]["name"]]),
        ("promises here", lambda row: decibels(row[1]["mse"])),
        ("promises if nothing were sent", lambda row: decibels(row[1]["mse_if_nothing_were_sent"])),
        ("so it is", verdict),
    )
    return Table.of(
        "published",
        "What published guarantees are worth, dB of the mean squared error",
        rows,
        columns,
        intro="On the same bundles and the same ruler. A guarantee that promises nearly no error where "
        "nothing at all is sent, and the truth is that of the mean picture, is *vacuous* on pictures.",
    )
