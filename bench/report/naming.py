"""How cells, links and tasks are called in tables and drawings."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siftfunnel.bench.cells.result import Cell


def task_of(bundle: str) -> str:
    """What bundles must share for their figures to compare: the data set that their name begins with.

    Example:
        >>> task_of("cifar10-siftfunnel-rate")
        'cifar10'
    """
    return bundle.partition("-")[0]


def cell_label(cell: "Cell") -> str:
    """Defence, mode, codec and what is special about its load: ``siftfunnel, split q4, load 150%``."""
    variant = variant_words(cell)
    return way_label(cell.bundle, cell.mode, cell.codec) + (f", {variant}" if variant else "")


def variant_words(cell: "Cell") -> str:
    """What tells a cell from others of the same way, link and scenario; empty where nothing does.

    In Server the load, as a share of what the way can carry; a link that was taken down in the middle.
    """
    parts = []
    capacity = cell.settings.get("capacity_frames_per_s")
    if cell.scenario == "Server" and cell.target_frames_per_s and capacity:
        parts.append(f"load {cell.target_frames_per_s / capacity:.0%}")
    if drop_s := drop_seconds(cell):
        parts.append(f"link down {drop_s:g} s")
    return ", ".join(parts)


def drop_seconds(cell: "Cell") -> float:
    """For how long its link was taken down in the middle of a run."""
    return float(cell.asked.get("drop_s") or 0.0)


def way_label(bundle: str, mode: str, codec: str) -> str:
    """The same for what was not measured.

    Example:
        >>> way_label("drawnfaces-siftfunnel", "split", "q4"), way_label("x-unprotected", "edge-only", "")
        ('siftfunnel, split q4', 'unprotected, edge only')
    """
    who = bundle.partition("-")[2] or bundle
    return f"{who}, {mode.replace('-', ' ')}" + (f" {codec}" if codec else "")


def machine_line(provenance: object) -> str:
    """Processor, cores and commit of a provenance, for a caption."""
    machine = provenance.get("machine", {}) if isinstance(provenance, dict) else {}
    commit = str((provenance.get("commit") if isinstance(provenance, dict) else None) or "unknown")[:12]
    return (
        f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores, commit {commit}"
    )
