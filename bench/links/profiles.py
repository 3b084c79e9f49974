"""Named links.

The browsers' tables throttle requests; here packets are, so a profile has the network that a table aims at:
Chrome's without the factors (0.8 and 0.9 on rates, 2.75 to 5 on latency) that correct for that difference.
Where a table gives one latency it is taken as the round trip, half of it each way. Neither browser loses
packets or has jitter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Emulation = Literal["netem", "tun", "relay", "none"]
"""Who keeps a link: the kernel, a process between two interfaces, a relay of TCP, nobody."""
PACKETS: tuple[Emulation, ...] = ("netem", "tun")
"""Those that emulate packets, between two network namespaces."""

QUEUE_PACKETS = 1000
"""Packets that wait for a direction's transmitter at most: netem's own default."""


@dataclass(frozen=True)
class Direction:
    """One direction of a link.

    Attributes:
        rate_kbit_s: Rate in 1,000 bit/s, of IP packets; None for no limit.
        delay_ms: From the end of a packet's transmission to its arrival.
        jitter_ms: Delays lie evenly within plus or minus this; packets never overtake one another.
        loss: Share of packets lost, each for itself.
        queue_packets: Packets waiting for the transmitter at most; a packet more is dropped.

    Raises:
        ValueError: a negative figure, jitter above the delay, loss of 1 or more.
    """

    rate_kbit_s: float | None = None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    queue_packets: int = QUEUE_PACKETS

    def __post_init__(self) -> None:
        if self.rate_kbit_s is not None and not self.rate_kbit_s > 0:
            raise ValueError(f"a link's rate must be above 0 kbit/s, got {self.rate_kbit_s}")
        if not 0 <= self.jitter_ms <= self.delay_ms:
            raise ValueError(
                f"jitter must lie between 0 and the delay, got {self.jitter_ms} of {self.delay_ms} ms"
            )
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss is a share from 0 to below 1, got {self.loss}")
        if self.queue_packets < 1:
            raise ValueError(f"a queue holds 1 packet or more, got {self.queue_packets}")


@dataclass(frozen=True)
class LinkProfile:
    """A link as seen from the device.

    Attributes:
        name: At the command line and in results.
        up: From device to cloud.
        down: From cloud to device.
        source: Where the numbers come from.
    """

    name: str
    up: Direction
    down: Direction
    source: str

    @property
    def round_trip_ms(self) -> float:
        """Delay of both directions."""
        return self.up.delay_ms + self.down.delay_ms

    @property
    def is_unlimited(self) -> bool:
        """Whether there is nothing to emulate."""
        return self.up == self.down == Direction()

    def __str__(self) -> str:
        """In words."""
        if self.is_unlimited:
            return "nothing emulated"
        up, down = self.up, self.down
        parts = [f"{self.round_trip_ms:g} ms round trip"]
        parts += [f"{rate_words(way.rate_kbit_s)} {name}" for name, way in (("up", up), ("down", down))]
        if up.jitter_ms or down.jitter_ms:
            parts.append(f"jitter {up.jitter_ms:g} ms")
        if up.loss or down.loss:
            parts.append(f"loss {up.loss:.2%}")
        return ", ".join(parts)


def rate_words(kbit_s: float | None) -> str:
    """A rate for a table.

    Example:
        >>> rate_words(750), rate_words(30_000), rate_words(None)
        ('750 kbit/s', '30 Mbit/s', 'no limit')
    """
    if kbit_s is None:
        return "no limit"
    return f"{kbit_s / 1000:,.3g} Mbit/s" if kbit_s >= 10_000 else f"{kbit_s:,.0f} kbit/s"


def _table(source: str, rows: Mapping[str, tuple[float, float, float]]) -> dict[str, LinkProfile]:
    return {
        name: LinkProfile(name, Direction(up, rtt / 2), Direction(down, rtt / 2), source)
        for name, (down, up, rtt) in rows.items()
    }


FIREFOX = "Firefox developer tools, network throttling profiles"
CHROME = "Chrome developer tools, targets of the throttling presets"

PROFILES: Mapping[str, LinkProfile] = MappingProxyType(
    {
        "none": LinkProfile("none", Direction(), Direction(), "no emulation: the machine's own loopback"),
        **_table(
            FIREFOX,
            {
                "gprs": (50, 20, 500),
                "2g": (250, 50, 300),
                "good-2g": (450, 150, 150),
                "3g": (750, 250, 100),
                "good-3g": (1_500, 750, 40),
                "lte": (4_000, 3_000, 20),
                "dsl": (2_000, 1_000, 5),
                "wifi": (30_000, 15_000, 2),
            },
        ),
        **_table(
            CHROME,
            {
                "slow-3g": (500, 500, 400),
                "slow-4g": (1_600, 750, 150),
                "fast-4g": (9_000, 1_500, 60),
            },
        ),
        "5g-like": LinkProfile(
            "5g-like",
            Direction(30_000, delay_ms=10, jitter_ms=3, loss=0.0005),
            Direction(150_000, delay_ms=10, jitter_ms=3, loss=0.0005),
            "ours: a mid-band cell with some load, no standard's figures",
        ),
    }
)
"""Every link by name; down, up in kbit/s and round trip in ms as the sources list them."""


def link_profile(name: str) -> LinkProfile:
    """The link of that name.

    Raises:
        ValueError: no such link; lists the known ones.
    """
    if name not in PROFILES:
        raise ValueError(f"unknown link {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]
