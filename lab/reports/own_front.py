"""One network's front, agreement against bytes at several cuts beside JPEG and WebP, as page and drawing."""

from collections.abc import Iterator, Mapping
from typing import Any

from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
from siftfunnel.lab.reports.own_networks import LEAK_NOTES, LEAKS, PER_CENT, agreement, at_equal_agreement
from siftfunnel.lab.reports.pages import grid
from siftfunnel.lab.reports.sheet import COLOURS
from siftfunnel.lab.reports.table import Cell, Column, Drawing, Page, Table, number

Place = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A funnel, and one of its points."""

_NEEDED: tuple[Column[Place], ...] = (
    ("JPEG at equal agreement, bytes", lambda at: at_equal_agreement(at[1]["equal"].get("jpeg"))),
    ("WebP at equal agreement, bytes", lambda at: at_equal_agreement(at[1]["equal"].get("webp"))),
)


def _sent(at: Place) -> str:
    return f"{at[0]['funnel']} funnel, {at[0]['cut']}"


_AUDITED: tuple[Column[Mapping[str, Any]], ...] = (
    ("sent", lambda row: _sent(row["place"])),
    ("pictures", lambda row: str(row["pictures"])),
    ("bytes a frame", lambda row: number(row["place"][1]["payload_bytes_mean"])),
)


def front_page(result: Mapping[str, Any]) -> Page:
    """The page with a drawing for each set of pictures.

    Args:
        result: What `python -m tests.own_networks.front` has written.
    """
    machine = result["provenance"]["machine"]
    preamble = (
        f"{result['network']}, cut at several places, a funnel at each cut, fitted without labels; on "
        f"{machine['processor']} ({machine['cores']} cores). Agreement is with the uncut network. Pictures "
        "were neither fitted to nor trained on; brackets and bars are 95 % intervals, of which two that "
        "overlap say little. *Linear* is the closed form, *trained* the same gone on by distillation."
    )
    columns: tuple[Column[Place], ...] = (
        ("sent", _sent),
        ("work on the device, %", lambda at: number(at[0]["edge_mac_share"], 1, PER_CENT)),
        ("bytes a frame", lambda at: number(at[1]["payload_bytes_mean"])),
        ("agreement, %", lambda at: agreement(at[1])),
        *_NEEDED,
    )
    sections = tuple(
        Table.of(
            of_set["name"],
            f"{of_set['pictures']} pictures of {of_set['name']}",
            [(funnel, point) for funnel in of_set["funnels"] for point in funnel["points"]],
            columns,
        )
        for of_set in result["sets"]
    )
    audited = [
        {"place": (funnel, point), "pictures": of_set["name"], "audit": point["audit"]}
        for of_set in result["sets"]
        for funnel in of_set["funnels"]
        for point in funnel["points"]
        if point["audit"]
    ]
    leaks = Table.of("leaks", "What an eavesdropper gets", audited, (*_AUDITED, *LEAKS), notes=LEAK_NOTES)
    drawings = tuple(_drawing(result["network"], of_set) for of_set in result["sets"])
    return Page("own-front", "own-front", "Bytes and agreement", (preamble,), (*sections, leaks), drawings)


def best_points(result: Mapping[str, Any], wanted: float = 0.9) -> str:
    """A short table: of each funnel the fewest bytes that agree in the share wanted, or its best point.

    Args:
        result: What `python -m tests.own_networks.front` has written.
        wanted: Share of pictures.
    """
    places = [
        (of_set["name"], funnel, _best(funnel["points"], wanted))
        for of_set in result["sets"]
        for funnel in of_set["funnels"]
    ]
    columns: tuple[Column[tuple[str, Any, Any]], ...] = (
        (
            f"{result['network']}, {wanted:.0%} agreement or the best there is",
            lambda at: f"{at[0]}, {_sent(at[1:])}",
        ),
        ("device's share", lambda at: _share(at[1]["edge_mac_share"])),
        ("bytes", lambda at: number(at[2]["payload_bytes_mean"])),
        ("agreement", lambda at: _agreement(at[2])),
        ("JPEG needs", lambda at: _NEEDED[0][1](at[1:])),
        ("WebP needs", lambda at: _NEEDED[1][1](at[1:])),
    )
    return grid(Table.of("best", "", places, columns)) + "\n"


def _best(points: list[Mapping[str, Any]], wanted: float) -> Mapping[str, Any]:
    enough = [point for point in points if point["agreement"] >= wanted]
    if enough:
        return min(enough, key=lambda point: float(point["payload_bytes_mean"]))
    return max(points, key=lambda point: float(point["agreement"]))


def _share(value: float) -> Cell:
    return Cell(f"{value:.0%}", value)


def _agreement(point: Mapping[str, Any]) -> Cell:
    low, high = point["agreement_ci95"]
    return Cell(f"{point['agreement']:.1%} ({low:.0%} to {high:.0%})", point["agreement"], low, high)


def _drawing(network: str, of_set: Mapping[str, Any]) -> Drawing:
    """Agreement against bytes of every funnel and picture codec."""
    name = of_set["name"]
    panel = Panel("bytes a frame", "agreement with the uncut network, %", list(_series(of_set)), log_x=True)
    return Drawing(
        f"own-front-{name}.svg",
        f"Agreement with the uncut {network} against bytes a frame, {name}",
        lines(f"{network}: agreement against bytes, {name}", [panel], (540, 350)),
    )


def _series(of_set: Mapping[str, Any]) -> Iterator[Series]:
    named = [(kind.upper(), points, "bytes_mean") for kind, points in of_set["picture_codecs"].items()]
    named += [
        (f"{f['funnel']}, {f['cut']}, {f['edge_mac_share']:.0%}", f["points"], "payload_bytes_mean")
        for f in of_set["funnels"]
    ]
    for number_of, (name, points, size) in enumerate(named):
        rising = sorted(points, key=lambda point: float(point[size]))
        placed = tuple(_place(name, point[size], point) for point in rising)
        yield Series(name, COLOURS[number_of % len(COLOURS)], placed)


def _place(name: str, size: float, point: Mapping[str, Any]) -> Point:
    share, (low, high) = PER_CENT * point["agreement"], point["agreement_ci95"]
    tip = f"{name}: {size:,.0f} bytes, {share:.1f} %"
    return Point(size, share, tip, (PER_CENT * low, PER_CENT * high))
