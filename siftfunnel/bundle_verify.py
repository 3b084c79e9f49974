"""A bundle's folder compared with its manifest, and its graphs with what the manifest says of them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftfunnel.bundle_facts import report_state
from siftfunnel.shared.bundle import CLOUD, EDGE, Bundle, BundleError, load_bundle
from siftfunnel.shared.bundle_check import Checked, check_halves
from siftfunnel.shared.selftest import CLOUD_TEST, EDGE_TEST

BELONGS_TO = {EDGE_TEST: EDGE, CLOUD_TEST: CLOUD}
"""Self-tests, which a folder may lack together with their half."""


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        name: the bundle's, or its folder's where that cannot be read.
        trouble: "CHANGED", "UNUSABLE" or None.
        problem: what is wrong and what to do; empty where nothing is.
        bundle: None where something is wrong.
        checked: likewise.
        absent: files that are listed and not there: a device carries no cloud half.
    """

    name: str
    trouble: str | None = None
    problem: str = ""
    bundle: Bundle | None = None
    checked: Checked | None = None
    absent: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        if self.bundle is None or self.checked is None:
            return {"bundle": self.name, "ok": False, "trouble": self.trouble, "problem": self.problem}
        listed = self.bundle.manifest.files.items()
        sizes = [entry.size_bytes for name, entry in listed if name not in self.absent]
        return {
            "bundle": self.name,
            "ok": True,
            "digest": self.bundle.digest,
            "files": len(sizes),
            "bytes": sum(sizes),
            "report": report_state(self.bundle),
            "halves": list(self.checked.halves),
            "absent": list(self.absent),
            "self_tests": list(self.checked.self_tests),
        }

    def as_text(self) -> str:
        """For people."""
        if self.bundle is None or self.checked is None:
            return f"{self.trouble:8} {self.name}  {self.problem}"
        said = self.as_json()
        size = f"{said['files']} files, {said['bytes']} bytes, report {said['report']}"
        return f"ok       {self.name}  {self.bundle.digest}  {size}; {self._halves(self.checked)}"

    def _halves(self, checked: Checked) -> str:
        told = "both halves run, joined" if len(checked.halves) == 2 else f"the {checked.halves[0]} half runs"
        if self.absent:
            told += f" ({' and '.join(self.absent)} not here: not checked)"
        return f"{told}; self-tests passed: {' and '.join(checked.self_tests) or 'none there'}"


def verify(directory: Path) -> Verdict:
    """Compare every file that is there, and the report, with the manifest; then open and run the graphs."""
    try:
        bundle = load_bundle(directory, need=())
        absent = _absent(bundle)
        files = {name: bundle.read(name) for name in bundle.manifest.files if name not in absent}
        bundle.report()
    except BundleError as error:
        return Verdict(directory.name, "CHANGED", str(error))
    try:
        return Verdict(
            bundle.name, bundle=bundle, checked=check_halves(bundle.manifest, files), absent=absent
        )
    except BundleError as error:
        return Verdict(directory.name, "UNUSABLE", f"{directory}: {error}")


def _absent(bundle: Bundle) -> tuple[str, ...]:
    """Files of the one half that a party may lack.

    Raises:
        BundleError: the manifest lists not both halves, or neither is there.
    """
    listed = bundle.manifest.files
    if unlisted := [half for half in (EDGE, CLOUD) if half not in listed]:
        raise BundleError(f"{bundle.directory}: the manifest lists no {' and no '.join(unlisted)}")
    absent = [half for half in (EDGE, CLOUD) if not os.path.lexists(bundle.directory / half)]
    if len(absent) == 2:
        raise BundleError(f"{bundle.directory}: neither {EDGE} nor {CLOUD} is there; fetch it again")
    tests = [name for name, half in BELONGS_TO.items() if name in listed and half in absent]
    return (*absent, *(name for name in tests if not os.path.lexists(bundle.directory / name)))
