"""A settings dataclass is its flags, its help and its bounds."""

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import add_flags, check, from_flags, setting


@dataclass(frozen=True)
class Oven:
    """Anything with settings of every kind."""

    heat: int = setting(180, "degrees", least=50, most=300)
    bake_s: float = setting(60.0, "how long it bakes", above=0, finite=True)
    recipe: Path | None = setting(None, "what to follow")
    mode: str = setting("fan", "how heat comes", choices=("fan", "grill"))
    light: bool = setting(False, "switch the light on")
    cakes: tuple[Path, ...] = setting((), "what goes in", flag="--cake")
    server: Endpoint | None = setting(None, "who listens", metavar="HOST:PORT")
    size: tuple[int, int] = setting((1, 1), "wide and high", read=lambda text: (len(text), 0))
    secret: int = 3

    def __post_init__(self) -> None:
        check(self)


def parsed(*flags: str) -> Oven:
    parser = argparse.ArgumentParser()
    add_flags(parser, Oven)
    return from_flags(Oven, parser.parse_args(flags))


def test_without_flags_the_defaults_hold() -> None:
    assert parsed() == Oven()


def test_flags_are_read_as_the_annotations_say() -> None:
    flags = [
        "--heat=200",
        "--bake-seconds=1.5",
        "--recipe=r",
        "--mode=grill",
        "--light",
        "--cake=a",
        "--cake=b",
    ]
    oven = parsed(*flags, "--server=[::1]:5", "--size=abc")
    assert oven == Oven(
        200, 1.5, Path("r"), "grill", True, (Path("a"), Path("b")), Endpoint("::1", 5), (3, 0), secret=3
    )


def test_fields_without_a_flag_are_given_beside() -> None:
    assert from_flags(Oven, argparse.Namespace(heat=90), secret=4) == Oven(heat=90, secret=4)


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [("--server=5", "argument --server:.*HOST:PORT"), ("--mode=air", "fan.*grill"), ("--heat=hot", "--heat")],
)
def test_what_cannot_be_read_names_its_flag(
    capsys: pytest.CaptureFixture[str], flag: str, complaint: str
) -> None:
    with pytest.raises(SystemExit):
        parsed(flag)
    assert re.search(complaint, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("field", "value"),
    [("heat", 49), ("heat", 301), ("bake_s", 0), ("bake_s", math.nan), ("bake_s", math.inf), ("mode", "air")],
)
def test_a_value_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Oven(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("heat", "hot"), ("heat", 51.5), ("bake_s", "1")])
def test_what_is_no_number_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=field):
        Oven(**{field: value})


def test_help_tells_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    assert "degrees (180)" in capsys.readouterr().out


def test_help_may_hold_a_percent_sign(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Rate:
        share: float = setting(0.5, "of the whole, at most 12 % more")
        fast: bool = setting(False, "100 % of it")

    parser = argparse.ArgumentParser()
    add_flags(parser, Rate)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "at most 12 % more (0.5)" in told
    assert "100 % of it" in told
