"""What a rate point is to reach: so many bytes, or so much agreement."""

from dataclasses import dataclass


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


DEFAULT_AGREEMENTS = "95%,91%,85%"


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
