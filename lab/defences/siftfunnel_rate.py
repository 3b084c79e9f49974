"""SiftFunnel with its size as a trained quantity: Eq. 15 on the quantised feature, and a price on every bit.

    L = Eq. 15 (x, z') + price_r bits_r(z)        z' the feature that the cloud gets at rate point r

One network serves all rate points: each has its own steps and tables, each picture of a batch draws one. The
prices are not set but found: each rises while its rate point costs more than its target (dual ascent).

Rate-distortion training of quantised features goes back to Balle et al., arXiv 1611.01704; the
straight-through rounding to Theis et al., arXiv 1703.00395; steps per rate point to Cui et al., arXiv
2003.02012. The lattice of contexts is ours, after the checkerboard of He et al., arXiv 2103.15306. All
values are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss, LossWeights, siftfunnel_loss
from siftfunnel.lab.defences.quantiser import RateQuantiser, body_bits, payload_bytes
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import CodecSpec
from siftfunnel.shared.wire import calibrate_lattice
from siftfunnel.shared.wire.seal import SEAL_BYTES

EXCESS_TOLERATED = 0.05
MOST_WIDENED = 1.25
"""A rate point that misses its mean payload by more was not trained long enough to be mended."""


@dataclass(frozen=True)
class SiftFunnelRate(Defence):
    """SiftFunnel, quantised and priced by the bit; goes on from a trained funnel.

    An untrained funnel's feature is far smaller than any step: it is rounded to nothing, and the price keeps
    it there.

    Attributes:
        payload_bytes: Mean payload that training steers each rate point to, checksum included, fewest first.
        shares: How often a picture of a batch draws each rate point.
        levels: Levels of the quantiser.
        price_speed: How fast a price follows: each step, its logarithm moves by this times the relative
            excess.
        first_steps: Steps that training begins with, at the first and the last rate point, in standard
            deviations of a channel; only where training does not go on from a rate-trained network.
        first_log_price: Logarithm of the price that every rate point begins with. A price that bites before
            the network has adapted silences channels, and no gradient brings them back.
        taught_share: Share of the label target that is the mean answer of the recipe's teachers.
        weights: Weights of Eq. 15.
    """

    payload_bytes: tuple[float, ...] = (60.0, 80.0, 110.0, 160.0)
    shares: tuple[float, ...] = (0.4, 0.2, 0.2, 0.2)
    levels: int = 16
    price_speed: float = 0.01
    first_steps: tuple[float, float] = (1.0, 0.5)
    first_log_price: float = -6.0
    taught_share: float = 0.0
    weights: LossWeights = field(default_factory=LossWeights)

    name: ClassVar[str] = "siftfunnel-rate"
    label: ClassVar[str] = "SiftFunnel, rate-trained"
    source: ClassVar[str] = "ours, on arXiv 2501.00824v1, Eq. 12 to 15"
    variant: ClassVar[str] = "siftfunnel"
    goes_on: ClassVar[bool] = True
    origins: ClassVar[Mapping[str, str]] = {
        "payload_bytes": "ours",
        "shares": "ours",
        "levels": "ours",
        "price_speed": "ours",
        "first_steps": "ours",
        "first_log_price": "ours",
        "taught_share": "ours",
        "weights": "paper",
    }

    def __post_init__(self) -> None:
        if not self.payload_bytes or list(self.payload_bytes) != sorted(self.payload_bytes):
            raise ValueError("payload_bytes must name one rate point or more, fewest bytes first")
        if min(self.payload_bytes) <= SEAL_BYTES:
            raise ValueError(f"a payload has {SEAL_BYTES} bytes of checksum; a rate point needs more")
        if len(self.shares) != len(self.payload_bytes) or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("shares must be as many as the rate points and add up to 1")
        if min(self.first_steps) <= 0:
            raise ValueError(f"the first steps must be above 0, got {self.first_steps}")
        if not 0 <= self.taught_share <= 1:
            raise ValueError(f"the teachers' share of the target lies in [0, 1], got {self.taught_share}")

    def furnish(self, network: SplitNetwork) -> None:
        """Put the quantiser at the cut."""
        network.stage = self.quantiser(network)

    def quantiser(self, network: SplitNetwork) -> RateQuantiser:
        """What stands at the cut."""
        return RateQuantiser(*network.feature_shape, **self.quantiser_settings())

    def quantiser_settings(self) -> dict[str, Any]:
        """What a quantiser takes besides the feature's shape."""
        return {
            "levels": self.levels,
            "target_bits": tuple(body_bits(size) for size in self.payload_bytes),
            "shares": self.shares,
            "first_steps": self.first_steps,
            "first_log_price": self.first_log_price,
        }

    def loss(self, step: Step) -> Loss:
        """Eq. 15 on the quantised feature, and the price of its bits."""
        quantiser = rate_stage(step.network)
        if self.taught_share and step.taught_NK is None:
            raise ValueError("a share of the target is the teachers', and the recipe has none")
        made = siftfunnel_loss(
            step.x_NCHW,
            step.z_NCHW,
            step.logits_NK,
            step.labels_N,
            self.weights,
            taught_NK=step.taught_NK,
            taught_share=self.taught_share,
        )
        bits = quantiser.bits()
        price = (quantiser.log_price_R.exp()[bits.point_N] * bits.priced_N).mean()
        quantiser.steer(bits.sent_N, bits.point_N, self.price_speed)
        bytes_R = payload_bytes(quantiser.mean_bits(bits.sent_N, bits.point_N)[0])
        parts = {name: made.parts[name] for name in ("kl", "l1", "distance_correlation")}
        parts["price"] = price
        for point in range(quantiser.points):
            parts[f"bytes_{quantiser.name(point)}"] = bytes_R[point]
        return Loss(made.total + price, parts)

    def start(self, network: SplitNetwork, x_NCHW: Tensor) -> None:
        """Set the first steps by the features' standard deviations."""
        with torch.no_grad():
            rate_stage(network).start(network.edge(x_NCHW))

    def validate(self, network: SplitNetwork, accuracy: Callable[[], float]) -> dict[str, float]:
        """The mean over the rate points of what each reaches.

        Accuracy counts only as far as it is paid for: what rate points cost above their targets, as all do at
        first, is taken off the score, but for a tolerance.
        """
        stage = rate_stage(network)
        reached: dict[str, float] = {}
        for point in range(stage.points):
            with stage.at(point):
                reached[stage.name(point)] = accuracy()
        shares = stage.shares_R.tolist()
        mean = sum(s * a for s, a in zip(shares, reached.values(), strict=True))
        over = sum(s * x for s, x in zip(shares, stage.excess().tolist(), strict=True))
        each = {f"validation_accuracy_{name}": share for name, share in reached.items()}
        return {**each, "validation_accuracy": mean, "score": mean - max(over - EXCESS_TOLERATED, 0.0)}

    def codecs(self, network: SplitNetwork, features_NCHW: NDArray[np.float32]) -> tuple[CodecSpec, ...]:
        """Those that it was trained with and no other.

        A feature that it did not quantise would tell more than what it was trained to send.
        """
        stage = rate_stage(network)
        return tuple(fit_rate_point(stage, point, features_NCHW) for point in range(stage.points))

    def use_codec(self, network: SplitNetwork, position: int) -> None:
        """The rate point of that codec."""
        rate_stage(network).point = position


def fit_rate_point(stage: RateQuantiser, point: int, features_NCHW: NDArray[np.float32]) -> CodecSpec:
    """The codec of a rate point, with steps wide enough for the mean payload that it was trained for.

    Few merged tables and whole words cost some bytes that training does not count. All channels' steps are
    widened by one factor, ``MOST_WIDENED`` at most, in the stage too; they are never made finer.
    """
    target_bytes = float(payload_bytes(stage.targets_R[point]))
    widened = 1.0
    while True:
        spec = calibrate_lattice(stage.name(point), features_NCHW, stage.steps(point).numpy(), stage.levels)
        excess = spec.parameters["mean_bytes"] / target_bytes
        if excess <= 1 or widened >= MOST_WIDENED:
            return spec
        # bytes fall more slowly than steps grow
        factor = min(excess**1.4, MOST_WIDENED / widened)
        stage.widen(point, factor)
        widened *= factor


def rate_stage(network: SplitNetwork) -> RateQuantiser:
    """The quantiser of a rate-trained network.

    Raises:
        ValueError: the network has another stage or none.
    """
    if not isinstance(network.stage, RateQuantiser):
        raise ValueError("this network was not trained for rate: it has no quantiser at the cut")
    return network.stage
