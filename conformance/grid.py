"""What a check is, and the list that they enter: see `rest_checks` and `grpc_checks`.

A check returns nothing where the server does what the sentence says, and raises AssertionError with what it
does instead. Sentences are those of the Open Inference Protocol ("rest", "grpc":
kserve/open-inference-protocol, specification/protocol), shortened, or of Triton's extensions ("triton":
triton-inference-server/server, docs/protocol); where Triton alone decides a status, the sentence says so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .target import LEFT, RIGHT, Target


class Check(NamedTuple):
    """One row of the grid.

    Attributes:
        name: for tables and results.
        source: "rest", "grpc" or "triton".
        sentence: what the specification says.
        run: holds a server to it.
    """

    name: str
    source: str
    sentence: str
    run: Callable[[Target], None]


CHECKS: list[Check] = []


def check(source: str, sentence: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Enter a function into the list as the check of a sentence."""

    def add(run: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS.append(Check(run.__name__, source, sentence, run))
        return run

    return add


def same(found: Any, right: Any, what: str) -> None:
    """Fail with what was found in the name of `what`, unless it is what is right."""
    assert found == right, f"{what}: {str(found)[:120]}, not {str(right)[:120]}"


SUM, DIFFERENCE = (LEFT + RIGHT).ravel().tolist(), (LEFT - RIGHT).ravel().tolist()
