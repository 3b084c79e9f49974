"""One peer in a comparison: started, checked against ONNX Runtime, then on the processor only in its turn."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.halves import BareModel
from siftfunnel.bench.peers.environment import PeerUnavailableError
from siftfunnel.bench.peers.load import Load, run_load
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
        self._running = running
        self._scene = scene
        self._loads = [
            Load(
                wire,
                running.address,
                scene.bundle,
                [wire.encode(scene.bundle, feature) for feature in scene.features_NCHW],
            )
            for wire in wires
        ]
        self.peer = peer
        self.rows: list[dict[str, Any]] = [
            {
                "peer": peer.name,
                "wire": load.wire.title,
                "request_bytes": round(sum(map(len, load.requests)) / len(load.requests)),
                "stopped": None,
                "cells": [],
            }
            for load in self._loads
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
        for load in self._loads:
            try:
                self._scene.runner.run(self._check(load))
            except Exception as error:
                raise PeerUnavailableError(f"{self.peer.name}: {_described(error)}") from error

    async def _check(self, load: Load) -> None:
        scene = self._scene
        logits = expected_logits(load.wire, scene.bundle, scene.features_NCHW[:_CHECKED], scene.model)
        async with load.wire.connected(load.address, load.bundle) as ask:
            for request, logits_K in zip(load.requests, logits, strict=False):
                if not load.wire.agrees(await ask(request), logits_K):
                    raise ValueError("it does not answer what ONNX Runtime answers")

    def turn(self, round_number: int, clients: tuple[int, ...]) -> None:
        """Every load once; a failure is noted in its row and ends the contender's part."""
        with self._awake():
            for row, load in zip(self.rows, self._loads, strict=True):
                try:
                    self._scene.runner.run(run_load(load, _SETTLE_CLIENTS, _SETTLE_S))
                    for count in clients:
                        row["cells"].append(
                            {"round": round_number, "clients": count, **self._cell(load, count)}
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

    def _cell(self, load: Load, clients: int) -> dict[str, Any]:
        cpu_s, started_s = self._running.family.cpu_s(), time.perf_counter()
        measured = self._scene.runner.run(run_load(load, clients, self._scene.seconds))
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
