"""Other people's networks through the whole of `siftfunnel split`, as a page. Needs no PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.lab.tables.cells import NONE, Cell, Document, Section, measured, words
from siftfunnel.lab.tables.rendering import to_markdown
from siftfunnel.lab.tables.results import Figure, dig, dig_number

PER_CENT = 100.0
COST_COLUMNS = (
    "network",
    "pictures",
    "cut at",
    "work on the device, %",
    "bytes a frame",
    "agreement, %",
    "of a constant answer, %",
    "JPEG at equal agreement, bytes",
    "WebP at equal agreement, bytes",
    "from file to bundle, s",
    "load",
    "device + cloud, ms",
)
LEAK_COLUMNS = (
    "network",
    "pictures",
    "bytes a frame",
    "strongest attack",
    "its PSNR, dB",
    "SSIM",
    "a guess without listening, dB",
    "JPEG of these bytes, dB",
    "SSIM",
    "WebP of these bytes, dB",
    "SSIM",
)

Row = Mapping[str, Any]


def render_own_networks(result: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        result: What `python -m tests.own_networks.study` has written.
    """
    rows: list[Row] = result["rows"]
    sections = (
        Section(
            "cost",
            "Bytes, work and agreement",
            COST_COLUMNS,
            tuple(map(_costs, rows)),
            notes=(*_COST_NOTES, *_constant_notes(rows)),
        ),
        Section(
            "leaks", "What an eavesdropper gets", LEAK_COLUMNS, tuple(map(_leaks, rows)), notes=_LEAK_NOTES
        ),
        Section(
            "networks", "The networks", ("network", "from", "licence", "differs"), tuple(map(_about, rows))
        ),
    )
    title = "Networks that nobody here wrote"
    return to_markdown(Document("own-networks", "own-networks", title, (_preamble(result),), sections))


def _preamble(result: Mapping[str, Any]) -> str:
    machine = result["provenance"]["machine"]
    return (
        "Trained networks from wheels of the package index, cut, funnelled in closed form without labels, "
        "served by `siftfunnel cloud` and `siftfunnel edge`, and audited: `python -m "
        f"tests.own_networks.study`, on {machine['processor']} ({machine['cores']} cores). All figures are "
        "of pictures that no funnel was fitted to."
    )


_COST_NOTES = (
    "*Work on the device* is its share of the uncut network's multiplications, the funnel's included.",
    "*Agreement* is with the uncut network: the share of pictures with the same best class, or 1 less the "
    "relative error of the outputs where they are no classes. It is worth what it exceeds that *of a "
    "constant answer* by, the commonest class or the mean output.",
    "Seconds are those of the clock over inspect, check, fit, export and verify, with what else the machine "
    "did: *load* is how many processes wanted its cores.",
    "JPEG and WebP are files as Pillow writes them (optimised tables, method 6) of the picture at the "
    "network's size. Of a small picture most of a JPEG is header and tables.",
)
_LEAK_NOTES = (
    "Pictures that neither the funnel nor the attacker saw; the guess is the mean picture.",
    "JPEG and WebP of these bytes: the best of all qualities and sizes that fits, picture for picture; - "
    "where no file is that small.",
)


def _constant_notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which rows agree no more than an answer that never changes would."""
    empty = [
        f"{row['network']} on {row['pictures']['name']}"
        for row in rows
        if row["points"][row["codec"]]["agreement_ci95"][0] <= row["agreement_of_a_constant_answer"]
    ]
    told = "agreement is no more than a constant answer's: of its bytes these pictures say nothing."
    return tuple(f"{name}: {told}" for name in empty)


def _costs(row: Row) -> tuple[Cell, ...]:
    point = row["points"][row["codec"]]
    low, high = point["agreement_ci95"]
    return (
        words(row["network"]),
        words(row["pictures"]["name"]),
        words(" + ".join(f"`{name}`" for name in row["cut"])),
        _number(row["edge_mac_share"], 1, PER_CENT),
        _number(point["payload_bytes_mean"], 0),
        measured(Figure(point["agreement"], low, high), 1, scale=PER_CENT),
        _number(row["agreement_of_a_constant_answer"], 1, PER_CENT),
        at_equal_agreement(point["jpeg"]),
        at_equal_agreement(point["webp"]),
        _number(sum(row["seconds"].values()), 0),
        _number(dig_number(row, "load"), 0),
        words(f"{row['edge_milliseconds']:.1f} + {row['cloud_milliseconds']:.1f}"),
    )


def at_equal_agreement(needed: Mapping[str, float] | None) -> Cell:
    """Bytes that a picture codec needs for the same agreement, and how many times ours that is."""
    if needed is None:
        return words("not reached")
    text = f"{needed['bytes_mean']:,.0f} ({needed['times']:.1f}x)"
    return Cell(text, needed["bytes_mean"])


def _leaks(row: Row) -> tuple[Cell, ...]:
    audit = row["audit"]
    return (
        words(row["network"]),
        words(row["pictures"]["name"]),
        _number(row["points"][row["codec"]]["payload_bytes_mean"], 0),
        words(audit["attack"] if audit else "not run"),
        _summary(audit, "psnr_db", 1),
        _summary(audit, "ssim", 3),
        _number(dig_number(audit, "guess_psnr_db"), 1),
        *(
            _summary(dig(audit, "equal_bytes", kind), figure, digits)
            for kind in ("jpeg", "webp")
            for figure, digits in (("psnr_db", 1), ("ssim", 3))
        ),
    )


def _summary(values: Any, name: str, digits: int) -> Cell:
    mean, ends = dig_number(values, name, "mean"), dig(values, name, "ci95")
    return NONE if mean is None else measured(Figure(mean, *(ends or (None, None))), digits)


def _number(value: float | None, digits: int, scale: float = 1.0) -> Cell:
    return NONE if value is None else measured(Figure(value), digits, scale=scale)


def _about(row: Row) -> tuple[Cell, ...]:
    return tuple(map(words, (row["network"], row["wheel"], row["licence"], row["differs"] or "-")))
