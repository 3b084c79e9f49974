"""The flags of `siftfunnel edge` and `siftfunnel classify`, by what they are about; `cli.py` reads them."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES, read_choice

DEFAULT_SERVER = "127.0.0.1:50051"


def add_several_bundles_flags(parser: argparse.ArgumentParser) -> None:
    """Bundles that get every picture, and their codecs."""
    parser.add_argument(
        "--bundle",
        action="append",
        required=True,
        metavar="DIR|NAME",
        help="a bundle's folder, or a name to look up; repeated, every picture goes through each of them",
    )
    parser.add_argument(
        "--codec",
        action="append",
        default=[],
        metavar="NAME|BUNDLE=NAME",
        help="how features are encoded, for all bundles or for one; may be repeated (default: their choice)",
    )


def add_one_bundle_flags(parser: argparse.ArgumentParser) -> None:
    """One bundle and its codec."""
    parser.add_argument(
        "--bundle", required=True, metavar="DIR|NAME", help="a bundle's folder, or a name to look up"
    )
    parser.add_argument(
        "--codec", metavar="NAME", help="how features are encoded (default: the bundle's choice)"
    )


def add_bundle_flags(parser: argparse.ArgumentParser, bundles_default: Sequence[Path]) -> None:
    """Which codecs and classes, and where bundles have names."""
    parser.add_argument(
        "--bundles",
        type=Path,
        action="append",
        default=list(bundles_default),
        metavar="DIR",
        help="folder of bundles to look a name up in, before the shipped ones; may be repeated",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of the edge half (%(default)s)"
    )
    parser.add_argument(
        "--top-k", type=int, default=1, metavar="K", help="classes per answer, best first (%(default)s)"
    )
    parser.add_argument(
        "--outputs",
        type=_names,
        metavar="NAME,...",
        help="outputs of the network that answers carry, such as an embedding or boxes; '' for none "
        "(default: all that are not the classes' scores)",
    )
    parser.add_argument(
        "--max-output-bytes",
        type=int,
        default=MAX_OUTPUT_BYTES,
        metavar="N",
        help="what they may take together in one answer; a larger one is an error (%(default)s)",
    )


def add_source_flags(group: Any) -> None:
    """Where pictures come from."""
    group.add_argument(
        "--source",
        required=True,
        metavar="SOURCE",
        help="a directory, a picture, a video file or URL, camera:N, demo (the shipped pictures), "
        "- for paths on standard input, or jsonl:- for pictures there",
    )
    group.add_argument("--watch", action="store_true", help="go on with new files of the directory")
    group.add_argument("--shuffle", type=int, metavar="SEED", help="shuffle the directory by this seed")
    group.add_argument(
        "--frames", type=int, metavar="N", help="stop after N pictures; a directory with fewer begins again"
    )
    group.add_argument("--rate", type=float, metavar="FPS", help="pictures per second at most")
    group.add_argument(
        "--first-sequence",
        type=_sequence,
        default=0,
        metavar="N|clock",
        help="number of the first frame; clock: microseconds since 1970, so that a device that starts again "
        "uses no number twice (%(default)s)",
    )


def add_server_flags(group: Any) -> None:
    """Where features go."""
    group.add_argument(
        "--server",
        default=DEFAULT_SERVER,
        metavar="HOST:PORT[,...]",
        help="a `siftfunnel cloud`, or several of them, which take turns and stand in for one another "
        "(%(default)s)",
    )
    group.add_argument("--tls", action="store_true", help="TLS, trusting the authorities that ship with grpc")
    group.add_argument(
        "--tls-ca", type=Path, metavar="FILE", help="TLS, trusting only the authorities in this PEM file"
    )
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="own certificate, PEM, for mutual TLS")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--tls-name", metavar="NAME", help="name in the server's certificate if not the host's"
    )
    group.add_argument(
        "--window", type=int, default=32, metavar="N", help="unanswered frames at most (%(default)s)"
    )
    group.add_argument(
        "--frames-per-message",
        type=int,
        default=1,
        metavar="N",
        help="bulk work: up to N frames in one message, half of --window at most; live sources send one "
        "(%(default)s)",
    )
    group.add_argument(
        "--budget-ms", type=int, metavar="MS", help="an answer later than this is of no use: an error instead"
    )
    group.add_argument(
        "--connect-timeout-seconds",
        type=float,
        default=30.0,
        metavar="S",
        help="give up after this long without a server (%(default)s)",
    )
    group.add_argument(
        "--reply-timeout-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="a server that answers nothing for this long is dialled again (%(default)s)",
    )


def add_output_flags(group: Any) -> None:
    """Where answers go."""
    group.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="KIND:FILE|-",
        help="jsonl:FILE or text:FILE, which is added to, - for standard output, or npz:DIR, a new folder "
        "that gets each answer's outputs as a file of numpy; may be repeated (default: text:-)",
    )
    group.add_argument("--summary", type=Path, metavar="FILE", help="write the run's figures as JSON")
    group.add_argument("--quiet", action="store_true", help="no line of figures at the end")
    group.add_argument(
        "--ready-line", action="store_true", help="one line of JSON on standard error when ready"
    )
    group.add_argument(
        "--drain-seconds", type=float, default=5.0, metavar="S", help="patience of a stop (%(default)s)"
    )


def add_preview_flags(group: Any) -> None:
    """Whether the model's inputs are shown."""
    group.add_argument(
        "--preview",
        metavar="HOST:PORT",
        help="show the model's inputs over HTTP, for scoring reconstructions: private pictures, unencrypted",
    )
    group.add_argument(
        "--preview-anywhere", action="store_true", help="allow addresses that other machines reach"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(read_choice(text))


def _sequence(text: str) -> int:
    return time.time_ns() // 1000 if text == "clock" else int(text)
