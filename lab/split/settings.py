"""What can be asked of a run: rate targets, a cut's budget, how to fit, how to train. Needs no PyTorch."""

from dataclasses import dataclass
from typing import Literal

from siftfunnel.shared.settings import check, setting

DEFAULT_AGREEMENTS = "95%,91%,85%"


@dataclass(frozen=True)
class Target:
    """A target; one of both is given.

    Attributes:
        name: Of the codec that reaches it.
        bytes: Mean payload of a frame.
        agreement: With the uncut network, 0 to 1.

    Raises:
        ValueError: none or both, or a number that makes no sense.
    """

    name: str
    bytes: float | None = None
    agreement: float | None = None

    def __post_init__(self) -> None:
        if (self.bytes is None) == (self.agreement is None):
            raise ValueError("a target is a number of bytes or an agreement")
        if self.bytes is not None and not 16 <= self.bytes < 2**24:
            raise ValueError(f"a byte target must lie in 16 to 16777215, not {self.bytes:g}")
        if self.agreement is not None and not 0 < self.agreement < 1:
            raise ValueError(f"an agreement must lie between 0 and 100 %, not {self.agreement:.0%}")


def byte_targets(text: str) -> tuple[Target, ...]:
    """Targets from a list of bytes.

    >>> [target.name for target in byte_targets("1000, 1600")]
    ['l1000', 'l1600']
    """
    return _each_once([Target(f"l{_bytes(part):g}", bytes=_bytes(part)) for part in text.split(",")])


def agreement_targets(text: str) -> tuple[Target, ...]:
    """Targets from a list of shares.

    >>> [(target.name, target.agreement) for target in agreement_targets("91%, 0.855")]
    [('a91', 0.91), ('a85.5', 0.855)]
    """
    shares = [share(part) for part in text.split(",")]
    return _each_once([Target(f"a{100 * value:.4g}", agreement=value) for value in shares])


def share(text: str) -> float:
    """A share above 0 and up to 1, as a fraction or in percent.

    >>> share("30%"), share("0.3")
    (0.3, 0.3)

    Raises:
        ValueError: something else.
    """
    text = text.strip()
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ValueError(f"{text!r} is no share above 0 and up to 100%, such as 30% or 0.3")
    return value


def _bytes(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no number of bytes, such as 1600") from None


def _each_once(targets: list[Target]) -> tuple[Target, ...]:
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise ValueError(f"targets are to be told once each, not {', '.join(names)}")
    return tuple(targets)


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
        link: Chooses what answers soonest over it, by the milliseconds of this machine.

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


@dataclass(frozen=True)
class FitSettings:
    """What to fit.

    Attributes:
        funnel: ``linear``, or ``none`` to cut only.
        targets: Rate points, the default one first; none without a funnel.
        classes: Names of the classes in the order of the scores; empty numbers them.
        class_ids: What tells classes apart whose names do not.
        mac_share: Of the whole network's multiply-adds, on the device at most, the funnel's included.
    """

    funnel: Literal["linear", "none"] = "linear"
    targets: tuple[Target, ...] = ()
    classes: tuple[str, ...] = ()
    class_ids: tuple[str, ...] = ()
    mac_share: float | None = None

    def __post_init__(self) -> None:
        if self.funnel == "linear" and not self.targets:
            raise ValueError("a funnel needs a target or more: --bytes 1000,1600 or --agreement 91%")


@dataclass(frozen=True)
class TrainSettings:
    """How to go on.

    Raises:
        ValueError: a value out of range.
        TypeError: something else than a number.
    """

    steps: int = setting(400, "of the optimiser", least=1)
    steps_per_check: int = setting(
        50, "between two looks at held-out pictures, after which a checkpoint is written", flag="", least=1
    )
    batch_size: int = setting(12, "pictures in a step", least=1)
    learning_rate: float = setting(3e-4, "of A and B, whose entries begin at 0, at its peak", above=0)
    feature_weight: float = setting(0.0, "weight of the error of the transmitted channels", least=0)
    distance_correlation: float = setting(0.0, "weight of Eq. 12, between pictures and what is sent", least=0)
    channel_correlation: float = setting(0.0, "weight of Eq. 13, between channels of what is sent", least=0)
    adversary: float = setting(
        0.0, "weight of the term by which a linear attacker's picture gets worse", least=0
    )
    finetune: bool = setting(
        False, "train the cloud half's own weights too, with labels; kept where accuracy is better"
    )
    label_weight: float = setting(1.0, "weight of the labels' cross-entropy, where they do", least=0)
    weights_rate: float = setting(0.1, "the weights' learning rate, as a share of A's and B's", above=0)
    seed: int = setting(1, "of what is drawn", flag="")

    def __post_init__(self) -> None:
        check(self)
