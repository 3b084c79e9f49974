"""A link kept by the kernel: a veth pair between two namespaces, netem on both ends.

netem reorders packets when there is jitter and no rate; with a rate it keeps their order, as the others do.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from siftfunnel.bench.links.namespaces import (
    CLOUD_ADDRESS,
    DEVICE_ADDRESS,
    LinkUnavailableError,
    Namespaces,
    address,
    ip,
)
from siftfunnel.bench.links.profiles import Direction, LinkProfile
from siftfunnel.bench.links.tun import INTERFACE


def netem_arguments(direction: Direction) -> list[str]:
    """What follows ``tc qdisc add dev X root``.

    Example:
        >>> " ".join(netem_arguments(Direction(750, delay_ms=75, loss=0.001)))
        'netem limit 1000 delay 75ms loss 0.1% rate 750kbit'
    """
    made = ["netem", "limit", str(direction.queue_packets), "delay", f"{direction.delay_ms:g}ms"]
    if direction.jitter_ms:
        made.append(f"{direction.jitter_ms:g}ms")
    if direction.loss:
        made += ["loss", f"{direction.loss * 100:g}%"]
    if direction.rate_kbit_s is not None:
        made += ["rate", f"{direction.rate_kbit_s:g}kbit"]
    return made


def shape(namespace: str, interface: str, direction: Direction) -> None:
    """Put netem on what an interface sends.

    Raises:
        LinkUnavailableError: the kernel has no netem, or refuses.
    """
    command = ["tc", "-n", namespace, "qdisc", "add", "dev", interface, "root", *netem_arguments(direction)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise LinkUnavailableError(f"the kernel's netem cannot be used here: {made.stderr.strip()}")


@contextlib.contextmanager
def netem_link(profile: LinkProfile, namespaces: Namespaces) -> Iterator[None]:
    """Lay the link between two namespaces; it goes with them.

    Raises:
        LinkUnavailableError: no ``tc``, no veth, or no netem.
    """
    if shutil.which("tc") is None:
        raise LinkUnavailableError("netem needs the command `tc` (package iproute2)")
    ends = f"sd{os.getpid()}", f"sc{os.getpid()}"
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    sides = (
        (ends[0], namespaces.device, DEVICE_ADDRESS, profile.up),
        (ends[1], namespaces.cloud, CLOUD_ADDRESS, profile.down),
    )
    for end, namespace, own, direction in sides:
        ip("link", "set", end, "netns", namespace)
        ip("-n", namespace, "link", "set", end, "name", INTERFACE)
        address(INTERFACE, namespace, own)
        shape(namespace, INTERFACE, direction)
    yield
