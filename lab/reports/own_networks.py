"""Other people's networks through the whole of `siftfunnel split`, as a page. Needs no PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from siftfunnel.lab.reports.study.results import dig, dig_number
from siftfunnel.lab.reports.table import NONE, Cell, Column, Figure, Page, Table, measured, number

PER_CENT = 100.0
Network = Mapping[str, Any]


def networks_page(result: Mapping[str, Any]) -> Page:
    """The page.

    Args:
        result: What `python -m tests.own_networks.study` has written.
    """
    rows: list[Network] = result["rows"]
    sections = (
        Table.of(
            "cost", "Bytes, work and agreement", rows, _COSTS, notes=(*_COST_NOTES, *_constant_notes(rows))
        ),
        Table.of("leaks", "What an eavesdropper gets", rows, (*_NETWORK, _BYTES, *LEAKS), notes=LEAK_NOTES),
        Table.of("networks", "The networks", rows, _ABOUT),
    )
    title = "Networks that nobody here wrote"
    return Page("own-networks", "own-networks", title, (_preamble(result),), sections)


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
    "*Agreement* is with the uncut network: the share of pictures with the same best class, the F1 of boxes "
    "where a detector's can be told, or 1 less the relative error of the outputs where they are neither. It "
    "is worth what it exceeds that *of a constant answer* by, the commonest class or the mean output.",
    "Seconds are those of the clock over inspect, check, fit, export and verify, with what else the machine "
    "did: *load* is how many processes wanted its cores.",
    "JPEG and WebP are files as Pillow writes them (optimised tables, method 6) of the picture at the "
    "network's size. Of a small picture most of a JPEG is header and tables.",
)
LEAK_NOTES = (
    "Pictures that neither the funnel nor the attacker saw; the guess is the mean picture.",
    "JPEG and WebP of these bytes: the best of all qualities and sizes that fits, picture for picture; - "
    "where no file is that small.",
)


def _constant_notes(rows: Sequence[Network]) -> tuple[str, ...]:
    """Which rows agree no more than an answer that never changes would."""
    empty = [
        f"{row['network']} on {row['pictures']['name']}"
        for row in rows
        if row["points"][row["codec"]]["agreement_ci95"][0] <= row["agreement_of_a_constant_answer"]
    ]
    told = "agreement is no more than a constant answer's: of its bytes these pictures say nothing."
    return tuple(f"{name}: {told}" for name in empty)


def at_equal_agreement(needed: Mapping[str, float] | None) -> Cell:
    """Bytes that a picture codec needs for the same agreement, and how many times ours that is."""
    if needed is None:
        return Cell("not reached")
    text = f"{needed['bytes_mean']:,.0f} ({needed['times']:.1f}x)"
    return Cell(text, needed["bytes_mean"])


def agreement(point: Mapping[str, Any]) -> Cell:
    """The share of pictures on which a point agrees with the uncut network, with its interval."""
    return measured(Figure(point["agreement"], *point["agreement_ci95"]), 1, scale=PER_CENT)


def _point(row: Network) -> Mapping[str, Any]:
    found: Mapping[str, Any] = row["points"][row["codec"]]
    return found


def _score(*path: str, digits: int) -> Callable[[Network], Cell]:
    """A mean of an audit's scores with its interval; nothing without an audit."""

    def read(row: Network) -> Cell:
        mean, ends = dig_number(row["audit"], *path, "mean"), dig(row["audit"], *path, "ci95")
        return NONE if mean is None else measured(Figure(mean, *(ends or (None, None))), digits)

    return read


def _equal_bytes(kind: str) -> tuple[Column[Network], Column[Network]]:
    return (
        (
            f"{'JPEG' if kind == 'jpeg' else 'WebP'} of these bytes, dB",
            _score("equal_bytes", kind, "psnr_db", digits=1),
        ),
        ("SSIM", _score("equal_bytes", kind, "ssim", digits=3)),
    )


_NETWORK: tuple[Column[Network], ...] = (
    ("network", lambda row: str(row["network"])),
    ("pictures", lambda row: str(row["pictures"]["name"])),
)
_BYTES: Column[Network] = ("bytes a frame", lambda row: number(_point(row)["payload_bytes_mean"]))
_COSTS: tuple[Column[Network], ...] = (
    *_NETWORK,
    ("cut at", lambda row: " + ".join(f"`{name}`" for name in row["cut"])),
    ("work on the device, %", lambda row: number(row["edge_mac_share"], 1, PER_CENT)),
    _BYTES,
    ("agreement, %", lambda row: agreement(_point(row))),
    ("of a constant answer, %", lambda row: number(row["agreement_of_a_constant_answer"], 1, PER_CENT)),
    ("JPEG at equal agreement, bytes", lambda row: at_equal_agreement(_point(row)["jpeg"])),
    ("WebP at equal agreement, bytes", lambda row: at_equal_agreement(_point(row)["webp"])),
    ("from file to bundle, s", lambda row: number(sum(row["seconds"].values()))),
    ("load", lambda row: number(dig_number(row, "load"))),
    (
        "device + cloud, ms",
        lambda row: f"{row['edge_milliseconds']:.1f} + {row['cloud_milliseconds']:.1f}",
    ),
)
LEAKS: tuple[Column[Network], ...] = (
    ("strongest attack", lambda row: str(row["audit"]["attack"]) if row["audit"] else "not run"),
    ("its PSNR, dB", _score("psnr_db", digits=1)),
    ("SSIM", _score("ssim", digits=3)),
    ("a guess without listening, dB", lambda row: number(dig_number(row["audit"], "guess_psnr_db"), 1)),
    *_equal_bytes("jpeg"),
    *_equal_bytes("webp"),
)
"""Of whatever has an ``audit``, or None in its place."""
_ABOUT: tuple[Column[Network], ...] = (
    _NETWORK[0],
    ("from", lambda row: str(row["wheel"])),
    ("licence", lambda row: str(row["licence"])),
    ("differs", lambda row: str(row["differs"] or "-")),
)
