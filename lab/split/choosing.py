"""Choosing a cut by what the device can do and the link can carry.

Without fitting a funnel at every cut, its bytes are guessed from the cut's elements. Of the cuts that the
device can bear, the one with the fewest is chosen, the deepest of equals; with a link, the one whose answer
comes soonest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.cuts import Cut
from siftfunnel.lab.split.patches import maps_spec, possible_sides
from siftfunnel.shared.tensors import TensorSpec

BITS_PER_ELEMENT = 0.4
"""Of a funnel at about nine answers in ten: some 1,600 bytes for EfficientNet-Lite0's 31,360 at block 3."""
FUNNEL_CHANNELS_SHARE = 0.3
"""Of a patch's values that a funnel sends, for its multiply-adds; fitting leaves out what does not fit."""
CLOUD_SPEED = 4.0
"""How much faster the cloud is than the device, where only one machine was timed."""


@dataclass(frozen=True)
class Link:
    """What lies between device and cloud.

    Attributes:
        mbit_per_s: Of the way up.
        round_trip_ms: Of both ways.
    """

    mbit_per_s: float
    round_trip_ms: float

    def __post_init__(self) -> None:
        if not self.mbit_per_s > 0 or not self.round_trip_ms >= 0:
            raise ValueError("a link has more than 0 Mbit/s and 0 ms or more")

    def milliseconds(self, payload_bytes: float) -> float:
        """Until a payload is there and its answer back."""
        return self.round_trip_ms + payload_bytes * 8 / (self.mbit_per_s * 1000)


@dataclass(frozen=True)
class Budget:
    """What a cut may cost; None is no limit.

    Attributes:
        mac_share: Of the whole network's multiply-adds on the device, the funnel's included.
        payload_bytes: Of a frame, as guessed for a funnel.
        link: Chooses what answers soonest over it.

    Raises:
        ValueError: a limit that is not above 0.
    """

    mac_share: float | None = None
    payload_bytes: float | None = None
    link: Link | None = None

    def __post_init__(self) -> None:
        for what, limit in (
            ("a share of the work", self.mac_share),
            ("bytes of a frame", self.payload_bytes),
        ):
            if limit is not None and not limit > 0:
                raise ValueError(f"{what}: a limit must be above 0, not {limit:g}")


def read_link(text: str) -> Link:
    """A link from MBIT/s:RTT_MS.

    >>> read_link("20:60")
    Link(mbit_per_s=20.0, round_trip_ms=60.0)
    """
    try:
        rate, round_trip = (float(part) for part in text.split(":"))
        return Link(rate, round_trip)
    except ValueError:
        raise ValueError(f"--link wants MBIT/S:ROUND_TRIP_MS, such as 20:60, not {text!r}") from None


def guessed_bytes(cut: Cut) -> float:
    """Of a funnel there."""
    return max(16.0, cut.elements * BITS_PER_ELEMENT / 8)


def share_with_funnel(cut: Cut) -> float:
    """Share of the multiply-adds on the device with a funnel behind the cut, as guessed."""
    if not cut.mac_share:
        return 0.0
    funnel = sum(funnel_channels(tensor) * tensor.size for tensor in cut.tensors)
    return cut.mac_share + funnel * cut.mac_share / cut.macs


def funnel_channels(tensor: TensorSpec) -> float:
    """That a funnel of the largest patches would send, as guessed."""
    maps = maps_spec(tensor)
    return FUNNEL_CHANNELS_SHARE * maps.channels * max(possible_sides(maps)) ** 2


def choose_cut(
    cuts: Sequence[Cut], budget: Budget, edge_ms: Callable[[Cut], float] | None = None, whole_ms: float = 0.0
) -> Cut:
    """The cut that a budget asks for.

    Args:
        cuts: Of the network.
        budget: What it may cost.
        edge_ms: Milliseconds of the device's half of a cut; needed where the budget has a link.
        whole_ms: Milliseconds of the whole network on the same machine.

    Raises:
        NetworkError: none fits; the text says what the nearest costs.
    """
    sensible = [cut for cut in cuts if cut.is_sensible] or list(cuts)
    fitting = [cut for cut in sensible if _fits(cut, budget)]
    if not fitting:
        raise NetworkError(_why_none(sensible, budget))
    if budget.link is not None and edge_ms is not None:
        link = budget.link

        def answer_ms(cut: Cut) -> float:
            device = edge_ms(cut)
            return device + link.milliseconds(guessed_bytes(cut)) + (whole_ms - device) / CLOUD_SPEED

        return min(fitting, key=answer_ms)
    return min(fitting, key=lambda cut: (cut.elements, -cut.depth))


def _fits(cut: Cut, budget: Budget) -> bool:
    return not _excess(cut, budget) > 1


def _excess(cut: Cut, budget: Budget) -> float:
    """How many times what it may cost a cut costs, of that which it exceeds most."""
    shares = [
        (budget.mac_share, share_with_funnel(cut)),
        (budget.payload_bytes, guessed_bytes(cut)),
    ]
    return max((cost / limit for limit, cost in shares if limit is not None), default=0.0)


def _why_none(cuts: Sequence[Cut], budget: Budget) -> str:
    nearest = min(cuts, key=lambda cut: _excess(cut, budget))
    return (
        f"no cut fits the budget; the nearest is {nearest.name}, with about "
        f"{share_with_funnel(nearest):.1%} of the multiply-adds on the device (funnel included) and about "
        f"{guessed_bytes(nearest):,.0f} bytes a frame: allow that, or name it with --cut"
    )
