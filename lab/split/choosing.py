"""Choosing a cut by what the device can do and the link can carry.

Without fitting a funnel at every cut, its bytes are guessed from the cut's elements. Of the cuts that the
device can bear, the one with the fewest is chosen, the deepest of equals; with a link, the one whose answer
comes soonest. The funnel is work of the device too: where that decides, it is fitted and counted.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.cuts import Cut, find_cuts
from siftfunnel.lab.split.features import Say
from siftfunnel.lab.split.fit import cut_only, funnel_macs
from siftfunnel.lab.split.halves import device_milliseconds
from siftfunnel.lab.split.linear import maps_spec, possible_sides
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.settings import Budget, FitSettings
from siftfunnel.shared.input_spec import InputSpec

BITS_PER_ELEMENT = 0.4
"""Of a funnel at about nine answers in ten: some 1,600 bytes for EfficientNet-Lite0's 31,360 at block 3."""
CLOUD_SPEED = 4.0
"""How much faster the cloud is than the device, where only one machine was timed."""


def guessed_bytes(cut: Cut) -> float:
    """Of a funnel there."""
    return max(16.0, cut.elements * BITS_PER_ELEMENT / 8)


def choose_cut(
    cuts: Sequence[Cut],
    budget: Budget,
    funnel_macs: Callable[[Cut], int],
    edge_ms: Callable[[Cut], float] | None = None,
    whole_ms: float = 0.0,
) -> Cut:
    """The cut that a budget asks for.

    Args:
        cuts: Of the network.
        budget: What it may cost.
        funnel_macs: Multiply-adds of a funnel there; asked of few cuts, for a funnel must be fitted for it.
        edge_ms: Milliseconds of the device's half of a cut; needed where the budget has a link.
        whole_ms: Milliseconds of the whole network on the same machine.

    Raises:
        NetworkError: none fits; the text says what the nearest costs.
    """
    sensible = [cut for cut in cuts if cut.is_sensible] or list(cuts)
    link, funnel_macs = budget.link, cache(funnel_macs)

    def wanted(cut: Cut) -> tuple[float, float]:
        if link is None or edge_ms is None:
            return cut.elements, -cut.depth
        device = edge_ms(cut)
        return device + link.milliseconds(guessed_bytes(cut)) + (whole_ms - device) / CLOUD_SPEED, 0.0

    able = [cut for cut in sensible if not _excess(cut, budget, _least_funnel(cut)) > 1]
    for cut in sorted(able, key=wanted):
        if not _excess(cut, budget, _most_funnel(cut)) > 1 or not _excess(cut, budget, funnel_macs(cut)) > 1:
            return cut
    nearest = min(sensible, key=lambda cut: _excess(cut, budget, _least_funnel(cut)))
    asked = budget.mac_share is not None
    share = _share(nearest, funnel_macs(nearest) if asked else 0)
    raise NetworkError(
        f"no cut fits the budget; the nearest is {nearest.name}, with {share:.1%} of the multiply-adds on "
        f"the device{' (funnel included)' if asked else ''} and about {guessed_bytes(nearest):,.0f} bytes a "
        "frame: allow that, or name it with --cut"
    )


def _share(cut: Cut, funnel_macs: int) -> float:
    """Share of the network's multiply-adds on the device with a funnel behind the cut."""
    return cut.mac_share * (1 + funnel_macs / cut.macs) if cut.macs else 0.0


def _excess(cut: Cut, budget: Budget, funnel_macs: int) -> float:
    """How many times what it may cost a cut costs, of that which it exceeds most."""
    limits = [(budget.mac_share, _share(cut, funnel_macs)), (budget.payload_bytes, guessed_bytes(cut))]
    return max((cost / limit for limit, cost in limits if limit is not None), default=0.0)


def _least_funnel(cut: Cut) -> int:
    """Multiply-adds of a funnel of one channel for each tensor."""
    return cut.elements


def _most_funnel(cut: Cut) -> int:
    """Those of one that sends all values of its largest patches."""
    maps = [maps_spec(tensor) for tensor in cut.tensors]
    return sum(each.channels * max(possible_sides(each)) ** 2 * each.size for each in maps)


def chosen_cut(
    network: Network, spec: InputSpec, place: Path, settings: FitSettings, budget: Budget, say: Say
) -> Cut:
    """The cut of a network that a budget asks for, with funnels fitted to pictures where they decide.

    Raises:
        NetworkError: none fits; the text says what the nearest costs.
        DataError: too few pictures.
    """

    def funnel_there(cut: Cut) -> int:
        say(f"what a funnel at {cut.name} costs the device:")
        try:
            return funnel_macs(cut_only(network, cut, spec, place), settings, say)
        except DataError:
            raise
        except ValueError as error:
            # no step reaches a target there: another cut may
            say(f"none at {cut.name}: {error}")
            return _most_funnel(cut)

    if budget.link is None:
        cut = choose_cut(find_cuts(network), budget, funnel_there)
    else:
        say(
            "milliseconds of the device are those of one thread of this machine; the cloud is taken to be "
            f"{CLOUD_SPEED:g} times as fast"
        )
        whole = network.runner.milliseconds(network.random_frames(network.frames_per_run or 1))
        timed = partial(device_milliseconds, network)
        cut = choose_cut(find_cuts(network), budget, funnel_there, timed, whole)
    say(f"cut at {cut.name}")
    return cut
