"""``siftfunnel split``: somebody's own network, looked at, cut, fitted, trained, exported."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from siftfunnel.lab.arguments import names, require_lab_extra, say
from siftfunnel.lab.split.fit_cli import LABELS_HELP, Shared, add_export, add_fit, add_train, read_classes
from siftfunnel.shared.input_spec import Crop, Filter

if TYPE_CHECKING:
    from siftfunnel.lab.split.checking import Finding, Pictures
    from siftfunnel.lab.split.cuts import Cut
    from siftfunnel.lab.split.network import Network
    from siftfunnel.shared.input_spec import InputSpec

DEFAULT_PRESET = "imagenet"
SHOWN_PICTURES = 6
NO_LABELS = """
No figure here says which preset is right, a wrong one may be the surest: look at what is said of each
picture, or, where there are classes, put pictures into folders named like them."""
REFERENCE_QUALITY = 75
REFERENCE_PICTURES = 50
INPUT_WORDS = ("colour", "crop", "shorter_side", "filter", "antialias", "padding", "scale", "mean", "std")
"""Of `InputSpec`, those that the command line can change."""


def add_split_parser(subparsers: Any) -> None:
    """Add ``split`` with its commands; each sets ``run``, which takes arguments and returns an exit code."""
    parser = subparsers.add_parser(
        "split",
        help="cut a network of your own and put a funnel at the cut",
        description="A network of your own, ONNX or PyTorch: see where it can be cut, check how its pictures "
        "are made, fit a funnel at a cut without labels, train it on, write the bundle.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_inspect(commands)
    _add_check(commands)
    shared = Shared(_add_network_and_input, _add_images, open_network, asked_input)
    add_fit(commands, shared)
    add_train(commands)
    add_export(commands)


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="list every cut of a network with what it costs",
        description="Prepare a network and list every cut: what crosses, parameters, multiply-adds and "
        "milliseconds on the device. `*` marks cuts behind which nothing smaller lies before.",
    )
    _add_network(parser)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder or tar of pictures: JPEG's bytes beside the cuts"
    )
    parser.add_argument(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time the device's half of each cut on one thread of this machine",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table and a drawing")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the drawing as SVG, too")
    parser.set_defaults(run=run_inspect)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="show what a network says of pictures under several presets",
        description="Run the whole network on pictures under each preset (or the one that is named), so that "
        "wrong preprocessing is seen; with labels, the accuracy of each.",
    )
    _add_network_and_input(parser)
    _add_images(parser)
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, a line each: NAME, or ID,NAME"
    )
    parser.add_argument("--labels", type=Path, metavar="CSV", help=LABELS_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_check)


def _add_network(parser: argparse.ArgumentParser) -> None:
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
        help="what an output is, if guessed wrongly: logits, probabilities, embedding, tensor",
    )


def _add_network_and_input(parser: argparse.ArgumentParser) -> None:
    _add_network(parser)
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


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder or tar of pictures, without labels"
    )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not height.isdigit() or not (width or height).isdigit() or not int(height) or not int(width or height):
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH")
    return int(height), int(width or height)


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=")
    if not name or kind not in ("logits", "probabilities", "embedding", "tensor"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no NAME=KIND with a kind of logits, probabilities, embedding, tensor"
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


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What is said of the input beside the preset; None changes nothing."""
    return {word: getattr(args, word) for word in INPUT_WORDS}


def run_inspect(args: argparse.Namespace) -> int:
    """List the cuts."""
    network, brought = open_network(args)
    from siftfunnel.lab.reports.cuts import svg, terminal
    from siftfunnel.lab.split.cuts import find_cuts
    from siftfunnel.lab.split.inspecting import as_json, heading, measured, table
    from siftfunnel.shared.files import write_file

    if brought is not None:
        say(f"cut already at {brought.name}")
    cuts = find_cuts(network)
    if args.measure:
        say(f"timing {len(cuts)} cuts")
        cuts = measured(network, cuts)
    references = _references(args.images, network) if args.images else {}
    if args.svg:
        write_file(args.svg, svg(f"{network.name}: bytes along its depth", cuts, references).encode())
    if args.json:
        print(json.dumps(as_json(network, cuts, references), indent=1))
        return 0
    drawing = ["", "bytes of a frame along the network (bars are logarithmic), by the work before the cut:"]
    lines = [*heading(network), "", *table(cuts), *drawing, *terminal(cuts, references)]
    print("\n".join(lines))
    return 0


def _references(place: Path, network: "Network") -> dict[str, float]:
    from statistics import fmean

    from siftfunnel.lab.front.pictures import PictureCoding
    from siftfunnel.lab.split.checking import read_pictures
    from siftfunnel.lab.split.presets import preset
    from siftfunnel.shared.preprocess import fit_image

    spec = preset(DEFAULT_PRESET, network.input)
    coding = PictureCoding("jpeg", REFERENCE_QUALITY)
    images = read_pictures(place, None, REFERENCE_PICTURES).images
    return {
        f"JPEG {REFERENCE_QUALITY}": fmean(len(coding.encode(fit_image(image, spec))) for image in images)
    }


def run_check(args: argparse.Namespace) -> int:
    """Show what the network says under each preset."""
    network, _ = open_network(args)
    from siftfunnel.lab.split.checking import check, odd, read_pictures, true_classes
    from siftfunnel.lab.split.presets import all_presets, preset

    asked = [args.preset] if args.preset else list(all_presets(network.input))
    specs = {name: preset(name, network.input, **changes(args)) for name in asked}
    pictures = read_pictures(args.images, args.labels)
    ids, classes = read_classes(args.classes) if args.classes else ((), ())
    truth = true_classes(pictures, network.scores, ids, classes)
    findings = check(network, specs, pictures, classes=classes, truth=truth)
    for note in (*(f"left out {skipped}" for skipped in pictures.skipped), *odd(pictures, network)):
        say(note)
    if args.json:
        told = {finding.preset: {**finding.figures, "said": finding.said} for finding in findings}
        print(json.dumps({"pictures": pictures.names, "presets": told}, indent=1))
        return 0
    _show_findings(network, pictures, findings)
    return 0


def _show_findings(network: "Network", pictures: "Pictures", findings: "tuple[Finding, ...]") -> None:
    from siftfunnel.lab.split.checking import most_likely
    from siftfunnel.lab.split.inspecting import heading

    print("\n".join(heading(network)))
    width = max(len(finding.preset) for finding in findings)
    for place, name in list(enumerate(pictures.names))[:SHOWN_PICTURES]:
        label = f" ({pictures.labels[place]})" if pictures.labels[place] else ""
        print(f"\n{name}{label}")
        for finding in findings:
            print(f"  {finding.preset:<{width}}  {finding.said[place]}")
    print(f"\nall {len(pictures.names)} pictures")
    for finding in findings:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in finding.figures.items())
        print(f"  {finding.preset:<{width}}  {figures}")
    best = most_likely(findings)
    if len(findings) > 1:
        print(f"\n--preset {best.preset} has the best accuracy" if best else NO_LABELS)
