"""`siftfunnel` as the README's test calls it: the same program, but demos end and downloads come from a file.

python -m tests.readme.console demo --images pictures
"""

import hashlib
import os
import sys
from pathlib import Path

from siftfunnel.cli import main

ARCHIVE_VARIABLE = "README_CIFAR10_ARCHIVE"
SHORTER = {
    ("demo",): ["--headless", "--frames", "3", "--rate", "0", "--http-port", "0"],
    ("faces",): ["--per-identity", "8"],
    ("lab", "train"): ["--epochs", "2"],
    ("lab", "inverter"): ["--epochs", "2"],
    ("lab", "certify"): [
        "--pictures",
        "2",
        "--iterations",
        "20",
        "--ruler-pictures",
        "400",
        "--gallery",
        "200",
    ],
    ("lab", "audit"): ["--pictures", "16", "--attacks", "residual"],
}
"""What is added to commands that would go on for long; everything else runs as it is written."""


def use_archive(path: Path) -> None:
    """Let `siftfunnel data` take a file for the official archive, address and checksum included."""
    from siftfunnel.lab.data import unpack

    unpack.CIFAR10_URL = path.as_uri()
    unpack.CIFAR10_BYTES = path.stat().st_size
    unpack.CIFAR10_SHA256 = hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["data"]:
        use_archive(Path(os.environ[ARCHIVE_VARIABLE]))
    for command, added in SHORTER.items():
        if tuple(arguments[: len(command)]) == command:
            arguments += added
    sys.exit(main(arguments))
