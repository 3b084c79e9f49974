"""One peer in a comparison: started, checked against ONNX Runtime, then on the processor only in its turn."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.halves import BareModel
from siftfunnel.bench.peers.environment import PeerUnavailableError
from siftfunnel.bench.peers.load import Measured, run_load
from siftfunnel.bench.peers.peer import Peer, RunningPeer
from siftfunnel.bench.peers.wires import Wire, expected_logits
from siftfunnel.shared.bundle import Bundle

_SETTLE_CLIENTS, _SETTLE_S = 4, 0.5
_CHECKED = 8


@dataclass(frozen=True)
class Scene:
    """What all contenders have in common.

    Attributes:
        bundle: Whose cloud half is served.
        features_NCHW: Frames that clients send.
        model: The cloud half in ONNX Runtime, for the right answers.
        runner: The event loop of all clients.
        core: The servers' core.
        seconds: Length of one load.
    """

    bundle: Bundle
    features_NCHW: NDArray[np.float32]
    model: BareModel
    runner: asyncio.Runner
    core: int
    seconds: float


class Contender:
    """A running peer and what it measured; ``rows`` grows with every load."""

    def __init__(self, peer: Peer, wires: tuple[Wire, ...], running: RunningPeer, scene: Scene) -> None:
        self.peer, self._running, self._scene = peer, running, scene
        self._requests = {
            wire: [wire.encode(scene.bundle, feature) for feature in scene.features_NCHW] for wire in wires
        }
        self.rows: list[dict[str, Any]] = [
            {
                "peer": peer.name,
                "wire": wire.title,
                "request_bytes": round(sum(map(len, requests)) / len(requests)),
                "stopped": None,
                "cells": [],
            }
            for wire, requests in self._requests.items()
        ]

    @property
    def stopped(self) -> bool:
        """Whether it fell out."""
        return any(row["stopped"] for row in self.rows)

    def check(self) -> None:
        """Compare answers with ONNX Runtime's.

        Raises:
            PeerUnavailableError: they differ, or there are none.
        """
        for wire, requests in self._requests.items():
            try:
                self._scene.runner.run(self._check(wire, requests))
            except Exception as error:
                raise PeerUnavailableError(f"{self.peer.name}: {_described(error)}") from error

    async def _check(self, wire: Wire, requests: Sequence[bytes]) -> None:
        scene = self._scene
        logits = expected_logits(wire, scene.bundle, scene.features_NCHW[:_CHECKED], scene.model)
        async with wire.connected(self._running.address, scene.bundle) as ask:
            for request, logits_K in zip(requests, logits, strict=False):
                if not wire.agrees(await ask(request), logits_K):
                    raise ValueError("it does not answer what ONNX Runtime answers")

    def turn(self, round_number: int, clients: tuple[int, ...]) -> None:
        """Every load once; a failure is noted in its row and ends the contender's part."""
        with self._awake():
            for row, wire in zip(self.rows, self._requests, strict=True):
                try:
                    self._load(wire, _SETTLE_CLIENTS, _SETTLE_S)
                    for count in clients:
                        row["cells"].append(
                            {"round": round_number, "clients": count, **self._cell(wire, count)}
                        )
                except Exception as error:
                    said = "" if self._running.alive else f"; it ended: {self._running.last_words()}"
                    row["stopped"] = f"round {round_number}: {_described(error)}{said}"
                    return

    @contextmanager
    def _awake(self) -> Iterator[None]:
        self._running.family.resume()
        try:
            yield
        finally:
            self._running.family.pause()

    def _load(self, wire: Wire, clients: int, seconds: float) -> Measured:
        connect = partial(wire.connected, self._running.address, self._scene.bundle)
        return self._scene.runner.run(run_load(connect, self._requests[wire], clients, seconds))

    def _cell(self, wire: Wire, clients: int) -> dict[str, Any]:
        cpu_s, started_s = self._running.family.cpu_s(), time.perf_counter()
        measured = self._load(wire, clients, self._scene.seconds)
        wall_s, used_s = time.perf_counter() - started_s, self._running.family.cpu_s() - cpu_s
        return {
            **asdict(measured),
            "server_cpu": round(used_s / wall_s, 3),
            "server_cpu_ms_per_frame": round(used_s * 1000 / measured.answered, 3),
        }


@contextmanager
def contending(
    peer: Peer, wires: tuple[Wire, ...], serving: AbstractContextManager[RunningPeer], scene: Scene
) -> Iterator[Contender]:
    """Start and check a peer, then pause it; stop it afterwards.

    Raises:
        PeerUnavailableError: it cannot be installed, does not come up, or answers wrongly.
    """
    with serving as running:
        contender = Contender(peer, wires, running, scene)
        contender.check()
        running.family.pause()
        yield contender


def _described(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    details = getattr(error, "details", None)
    text = details() if callable(details) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
