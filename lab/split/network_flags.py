"""What a command line says of a network, its input and its pictures, and opening the network."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from siftfunnel.lab.arguments import names, require_lab_extra, say
from siftfunnel.shared.input_spec import Crop, Filter
from siftfunnel.shared.tensors import OutputKind

if TYPE_CHECKING:
    from siftfunnel.lab.split.cuts import Cut
    from siftfunnel.lab.split.network import Network
    from siftfunnel.shared.input_spec import InputSpec

DEFAULT_PRESET = "imagenet"
INPUT_WORDS = ("colour", "crop", "shorter_side", "filter", "antialias", "padding", "scale", "mean", "std")
"""Of `InputSpec`, those that the command line can change."""
LABELS_HELP = "NAME,LABEL of each picture (default: its folder's name)"


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add what says which network."""
    parser.add_argument("net", type=Path, nargs="?", metavar="NET", help="the network, an ONNX file")
    parser.add_argument(
        "--torch", metavar="MODULE:FUNCTION", help="or a function that makes a PyTorch module; it is run"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="its weights: safetensors, or tensors of PyTorch",
    )
    for half in ("edge", "cloud"):
        parser.add_argument(
            f"--{half}", type=Path, metavar="ONNX", help=f"instead of NET: the {half} half, cut already"
        )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help="input size in pixels, where the file leaves it open, or another than the file's",
    )
    parser.add_argument(
        "--outputs", type=names, default=(), metavar="NAME,...", help="the outputs that matter (default: all)"
    )
    parser.add_argument(
        "--kind",
        type=_kind,
        action="append",
        default=[],
        metavar="NAME=KIND",
        help=f"what an output is, if guessed wrongly: {', '.join(get_args(OutputKind))}",
    )


def add_network_and_input(parser: argparse.ArgumentParser) -> None:
    """Add what says which network and which input."""
    add_network(parser)
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="imagenet, caffe-bgr, minus-one-to-one, zero-to-one, raw or letterbox (`check` compares them)",
    )
    parser.add_argument("--colour", choices=["RGB", "BGR", "grey"], help="instead of the preset's")
    parser.add_argument("--crop", choices=get_args(Crop), help="instead of the preset's")
    parser.add_argument("--shorter-side", type=int, metavar="PIXELS", help="before the centre is cut")
    parser.add_argument("--filter", choices=get_args(Filter), help="of resizing, instead of the preset's")
    parser.add_argument(
        "--antialias",
        action=argparse.BooleanOptionalAction,
        help="whether the filter widens where a picture shrinks: Pillow's does, OpenCV's does not",
    )
    parser.add_argument("--padding", type=int, metavar="LEVEL", help="around a letterbox's picture, 0 to 255")
    parser.add_argument("--scale", type=float, metavar="X", help="value = (pixel * SCALE - mean) / std")
    parser.add_argument("--mean", type=_numbers, metavar="X,X,X", help="in the graph's order of channels")
    parser.add_argument("--std", type=_numbers, metavar="X,X,X", help="likewise")


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add ``--images``."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder or tar of pictures, without labels"
    )


def add_classes(parser: argparse.ArgumentParser) -> None:
    """Add ``--classes``."""
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, a line each: NAME, or ID,NAME"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add ``--threads``."""
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not height.isdigit() or not (width or height).isdigit() or not int(height) or not int(width or height):
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH")
    return int(height), int(width or height)


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=")
    if not name or kind not in get_args(OutputKind):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no NAME=KIND with a kind of {', '.join(get_args(OutputKind))}"
        )
    return name, kind


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None


def open_network(args: argparse.Namespace) -> "tuple[Network, Cut | None]":
    """The network that the arguments name, and the cut where its halves are named.

    Raises:
        NetworkError: none is named, or it cannot be taken.
    """
    require_lab_extra()
    from siftfunnel.lab.split.network import NetworkError, load_network

    is_cut = args.edge is not None or args.cloud is not None
    if (args.net is not None) + (args.torch is not None) + is_cut != 1:
        raise NetworkError(
            "name one network: an ONNX file, --torch MODULE:FUNCTION, or both its halves, --edge and --cloud"
        )
    if args.torch is None and args.weights is not None:
        raise NetworkError("--weights goes with --torch MODULE:FUNCTION; an ONNX file has its own")
    cut = None
    if is_cut:
        network, cut = _joined(args)
    elif args.torch is None:
        network = load_network(args.net, size=args.size, outputs=args.outputs)
    else:
        network = _of_module(args)
    return network.with_kinds(dict(args.kind)) if args.kind else network, cut


def _joined(args: argparse.Namespace) -> "tuple[Network, Cut]":
    from siftfunnel.lab.split.brought import joined_network
    from siftfunnel.lab.split.network import NetworkError

    if args.edge is None or args.cloud is None:
        raise NetworkError("one half is missing: name both its halves, --edge and --cloud")
    if args.outputs:
        raise NetworkError("--outputs goes with a whole network; leave outputs out of the cloud half")
    return joined_network(args.edge, args.cloud, size=args.size)


def _of_module(args: argparse.Namespace) -> "Network":
    from siftfunnel.lab.split.network import NetworkError
    from siftfunnel.lab.split.torch_network import network_of_factory

    if args.size is None:
        raise NetworkError("a PyTorch module does not say its input's size: add --size HEIGHTxWIDTH")
    name = args.weights.stem if args.weights else None
    return network_of_factory(args.torch, args.weights, (3, *args.size), name=name, outputs=args.outputs)


def asked_input(args: argparse.Namespace, network: "Network") -> "InputSpec":
    """The input that the arguments describe: a preset, some of its words changed."""
    from siftfunnel.lab.split.presets import preset

    if args.preset is None:
        say(f"preset {DEFAULT_PRESET}, as none is named; `siftfunnel split check` shows which one is right")
    return preset(args.preset or DEFAULT_PRESET, network.input, **changes(args))


def asked_classes(args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and names of classes; none where there is no file of them."""
    from siftfunnel.lab.split.labels import read_classes

    return read_classes(args.classes) if args.classes else ((), ())


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What is said of the input beside the preset; None changes nothing."""
    return {word: getattr(args, word) for word in INPUT_WORDS}
