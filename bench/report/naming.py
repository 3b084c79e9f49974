"""How cells, links and tasks are called in tables and drawings."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cells.result import Cell

MODE_NAMES = {
    "edge-only": "edge only",
    "cloud-only": "cloud only",
    "raw-features": "raw features",
    "split": "split",
}


def task_of(bundle: str) -> str:
    """What bundles must share for their figures to compare: the data set that their name begins with.

    Example:
        >>> task_of("cifar10-siftfunnel-rate")
        'cifar10'
    """
    return bundle.partition("-")[0]


def cell_label(cell: "Cell") -> str:
    """Defence, mode and codec in a few words: ``siftfunnel, split q4``."""
    return way_label(cell.bundle, cell.mode, cell.codec)


def way_label(bundle: str, mode: str, codec: str) -> str:
    """The same for what was not measured.

    Example:
        >>> way_label("drawnfaces-siftfunnel", "split", "q4"), way_label("x-unprotected", "edge-only", "")
        ('siftfunnel, split q4', 'unprotected, edge only')
    """
    who = bundle.partition("-")[2] or bundle
    return f"{who}, {MODE_NAMES.get(mode, mode)}" + (f" {codec}" if codec else "")


def link_name(cell: "Cell") -> str:
    """The profile's name."""
    return str(cell.link["name"])


def machine_line(provenance: object) -> str:
    """Processor, cores and commit of a provenance, for a caption."""
    machine = provenance.get("machine", {}) if isinstance(provenance, dict) else {}
    commit = str((provenance.get("commit") if isinstance(provenance, dict) else None) or "unknown")[:12]
    return (
        f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores, commit {commit}"
    )
