"""`siftfunnel bench links`: the links that can be emulated, and what they do here."""

import argparse
from typing import Any

from siftfunnel.bench.output import add_out, write_json


def add_links_parser(verbs: Any) -> None:
    """Add `links` to the verbs of `bench`."""
    parser = verbs.add_parser(
        "links",
        help="list the emulated links, or lay some and measure what they do",
        description="Without a name: the links that can be emulated, with where their numbers come from. "
        "With names: lays each with the best emulation that this machine offers and measures it, ten seconds "
        "a link or, where it is slow, up to a minute. Packets are emulated as root (netem, else TUN "
        "interfaces between two network namespaces); without those rights a relay keeps rate and delay of a "
        "TCP connection.",
    )
    parser.add_argument("names", nargs="*", metavar="LINK", help="links to measure")
    add_emulation(parser)
    add_out(parser, "as well")
    parser.set_defaults(run=run_links)


def add_emulation(parser: Any) -> None:
    """The flag that asks for one emulation and no other."""
    parser.add_argument(
        "--emulation", choices=("netem", "tun", "relay"), help="this one and no other (default: the best)"
    )


def run_links(args: argparse.Namespace) -> int:
    """List links, or measure some.

    Raises:
        ValueError: an unknown link, or one that cannot be laid here in the way asked for.
    """
    from siftfunnel.bench.children import NotStartedError
    from siftfunnel.bench.links.link import MeasuredLink, open_link, told
    from siftfunnel.bench.links.profiles import PROFILES, link_profile
    from siftfunnel.bench.stored import as_json
    from siftfunnel.lab.provenance import provenance

    if not args.names:
        for profile in PROFILES.values():
            print(f"{profile.name:10} {profile}  ({profile.source})")
        return 0
    measured = []
    for profile in [link_profile(name) for name in args.names]:
        try:
            with open_link(profile, args.emulation) as link:
                print(told(link))
                made = link.calibrate()
        except NotStartedError as error:
            raise ValueError(f"link {profile.name}: {error}") from error
        print(f"  measured {made}")
        measured.append(as_json(MeasuredLink(profile, link.emulation, link.refused, made)))
    if args.out is not None:
        write_json({"provenance": provenance(), "links": measured}, args.out)
    return 0
