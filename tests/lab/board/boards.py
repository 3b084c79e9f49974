"""A made-up entry, and ways to spoil it."""

import json
from pathlib import Path
from typing import Any

from siftfunnel.lab.board.entry import Entry, as_json, put_file
from siftfunnel.lab.metrics.intervals import accuracy_interval

LEAK: dict[str, Any] = {
    "attack": "An inverter",
    "frames": 1,
    "psnr_db": 17.5,
    "psnr_ci95": [17.2, 17.8],
    "ssim": 0.4,
    "retrieval": 0.75,
    "identity": {},
}
SUITE: dict[str, Any] = {
    "name": "AutoInvert",
    "version": 1,
    "budget": "standard",
    "attacks": ["residual", "rmle"],
    "attacked": 16,
    "attacked_sha256": None,
    "auxiliary": 100,
    "heard": "r1",
    "is_noisy": False,
    "from_1": LEAK,
    "from_16": None,
    "telling": LEAK,
    "agreement": None,
}
KNOWN = {"leak": LEAK, "by": "siftfunnel", "source": "a paper", "is_reproduced": True}
VALUES: dict[str, Any] = {
    "schema_version": 1,
    "id": "made-up",
    "title": "Made up",
    "kind": "bundle",
    "dataset": "drawnfaces",
    "input": [16, 16],
    "network": "a network",
    "cut": "after block 1",
    "edge_parameters": 100,
    "edge_macs": 1_000,
    "defence": "none",
    "answers": {
        "measure": "accuracy",
        "value": 0.8,
        "ci95": accuracy_interval(80, 100),
        "pictures": 100,
    },
    "bytes_mean": 48.0,
    "codec": "r1",
    "is_estimate": False,
    "suite": SUITE,
    "best_known": KNOWN,
    "best_identity": KNOWN,
    "certificate": [],
    "flags": [],
    "origin": {
        "kind": "audit",
        "file": None,
        "bundle": "made-up",
        "digest": "0" * 64,
        "by": "somebody",
        "licence": "MIT",
        "links": ["https://example.org/bundle"],
        "commit": None,
    },
}


def changed(path: str, value: Any, values: dict[str, Any] = VALUES) -> dict[str, Any]:
    """The values with another one at a path of keys."""
    # no two places share an object, as they would in a deep copy
    made = json.loads(json.dumps(values))
    *keys, last = path.split(".")
    place = made
    for key in keys:
        place = place[key]
    place[last] = value
    return made


def entry(**others: Any) -> Entry:
    """The entry, with some top fields changed."""
    return Entry(**{**VALUES, **others})


def a_board(folder: Path, *entries: Entry) -> Path:
    """A board of entries."""
    for one in entries or (entry(),):
        put_file(folder / "entries", one)
    return folder


def tampered(board: Path, one: Entry, path: str, value: Any) -> Path:
    """The file of an entry, with a value changed as an editor would."""
    place = board / "entries" / f"{one.id}.json"
    place.write_text(json.dumps(changed(path, value, as_json(one)), indent=1, ensure_ascii=False) + "\n")
    return place
