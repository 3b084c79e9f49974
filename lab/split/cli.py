"""``siftfunnel split``: somebody's own network, looked at, cut, fitted, trained, exported."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import say
from siftfunnel.lab.split.fit_cli import add_export, add_fit, add_train
from siftfunnel.lab.split.network_flags import (
    DEFAULT_PRESET,
    LABELS_HELP,
    add_classes,
    add_images,
    add_network,
    add_network_and_input,
    asked_classes,
    changes,
    open_network,
)

if TYPE_CHECKING:
    from siftfunnel.lab.split.checking import Finding, Pictures
    from siftfunnel.lab.split.network import Network

SHOWN_PICTURES = 6
NO_LABELS = """
No figure here says which preset is right, a wrong one may be the surest: look at what is said of each
picture, or, where there are classes, put pictures into folders named like them."""
REFERENCE_QUALITY = 75
REFERENCE_PICTURES = 50


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
    add_fit(commands)
    add_train(commands)
    add_export(commands)


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="list every cut of a network with what it costs",
        description="Prepare a network and list every cut: what crosses, parameters, multiply-adds and "
        "milliseconds on the device. `*` marks cuts behind which nothing smaller lies before.",
    )
    add_network(parser)
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
    add_network_and_input(parser)
    add_images(parser)
    add_classes(parser)
    parser.add_argument("--labels", type=Path, metavar="CSV", help=LABELS_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_check)


def run_inspect(args: argparse.Namespace) -> int:
    """List the cuts."""
    network, brought = open_network(args)
    from siftfunnel.lab.split.cuts import find_cuts
    from siftfunnel.lab.split.inspecting import as_json, heading, measured, svg, table, terminal
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
    lines = [*heading(network), "", table(cuts), *drawing, *terminal(cuts, references)]
    print("\n".join(lines))
    return 0


def _references(place: Path, network: "Network") -> dict[str, float]:
    from statistics import fmean

    from siftfunnel.lab.data.picture_coding import PictureCoding
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
    ids, classes = asked_classes(args)
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
