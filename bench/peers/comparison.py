"""All peers side by side: one model after the other, rounds interleaved, servers and clients on a core each.

    real model: bare loop, A, B, C, ... | bare loop, A, B, C, ... | ...
    null model: the same

Everything is written into one document as it comes, so that an interrupted run keeps what it has.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.peers import PEERS
from siftfunnel.bench.peers.contender import Contender, Scene, contending
from siftfunnel.bench.peers.environment import PeerUnavailableError
from siftfunnel.bench.peers.null_model import write_null_bundle
from siftfunnel.bench.peers.ours import OURS
from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.processes import on_core
from siftfunnel.bench.peers.wires import SplitInferenceWire, Wire
from siftfunnel.bench.throughput import edge_features, open_cloud_half
from siftfunnel.shared.bundle import Bundle

MODELS = ("real", "null")
BARE_BATCHES = (1, 16)
_BARE_SHARE = 0.5
_STEP = 16

Show = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        bundle: Whose cloud half is the real model.
        peers: Names of `PEERS`.
        models: Of `MODELS`.
        clients: Loads, each a number of clients.
        seconds: Length of one load.
        rounds: Turns of each peer.
        server_core: Core of all servers and of the bare loop.
        client_core: Core of the load generator.

    Raises:
        ValueError: an unknown peer or model, no load, nothing to measure with, one core for both sides.
    """

    bundle: Bundle
    peers: tuple[str, ...]
    models: tuple[str, ...]
    clients: tuple[int, ...]
    seconds: float
    rounds: int
    server_core: int
    client_core: int

    def __post_init__(self) -> None:
        for names, known, what in ((self.peers, PEERS, "peer"), (self.models, MODELS, "model")):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
            if not names:
                raise ValueError(f"name at least one {what}: {', '.join(known)}")
        if not self.clients or min(self.clients) < 1:
            raise ValueError("a load needs at least one client")
        if not self.seconds > 0 or self.rounds < 1:
            raise ValueError(f"{self.rounds} rounds of {self.seconds:g} s measure nothing")
        if unknown_cores := {self.server_core, self.client_core} - os.sched_getaffinity(0):
            usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
            raise ValueError(f"no core {min(unknown_cores)} for this process; it may use {usable}")
        if self.server_core == self.client_core:
            raise ValueError(f"servers and clients would share core {self.server_core}; name two")


def two_cores() -> tuple[int, int]:
    """Cores for servers and for clients.

    Raises:
        ValueError: this process may use only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < len(("server", "client")):
        raise ValueError("servers and clients need a core each, and this process may use only one")
    return usable[0], usable[1]


def compare(plan: Plan, document: dict[str, Any], root: Path, show: Show, save: Callable[[], None]) -> None:
    """Measure everything in the plan.

    Args:
        plan: What.
        document: Filled as figures come; ``complete`` turns true at the end.
        root: Where environments are kept.
        show: Takes a line of progress.
        save: Called after every round.
    """
    document |= {
        "bundle": plan.bundle.name,
        "digest": plan.bundle.digest,
        "feature_shape": list(plan.bundle.manifest.feature.shape),
        "clients": list(plan.clients),
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "server_core": plan.server_core,
        "client_core": plan.client_core,
        "complete": False,
        "peers": [_about(PEERS[name]) for name in plan.peers],
        "models": [],
    }
    features_NCHW = edge_features(plan.bundle)
    _pin_whole_process(plan.client_core)
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for model in plan.models:
            place = Path(folder) / model
            served = plan.bundle if model == "real" else write_null_bundle(place / "null-bundle", plan.bundle)
            with on_core(plan.server_core):
                session = open_cloud_half(served)
            scene = Scene(served, features_NCHW, session, runner, plan.server_core, plan.seconds)
            _compare_on(model, plan, scene, document, place, root, show, save)
    document["complete"] = True
    save()


def _compare_on(
    model: str,
    plan: Plan,
    scene: Scene,
    document: dict[str, Any],
    folder: Path,
    root: Path,
    show: Show,
    save: Callable[[], None],
) -> None:
    measured: dict[str, Any] = {"model": model, "bare": [], "rows": []}
    document["models"].append(measured)
    with _all_contending(plan, scene, document["peers"], folder, root, show) as contenders:
        measured["rows"] += [row for contender in contenders for row in contender.rows]
        for number in range(1, plan.rounds + 1):
            with on_core(plan.server_core):
                measured["bare"] += _bare_loops(scene, number)
            for contender in contenders:
                if not contender.stopped:
                    contender.turn(number, plan.clients)
                    if contender.stopped:
                        show(f"{contender.peer.name} fell out: {contender.rows[0]['stopped']}")
            show(f"{model} model, round {number} of {plan.rounds} done")
            save()


@contextmanager
def _all_contending(
    plan: Plan, scene: Scene, about: list[dict[str, Any]], folder: Path, root: Path, show: Show
) -> Iterator[list[Contender]]:
    with ExitStack() as stack:
        contenders = []
        for each in about:
            peer = PEERS[each["peer"]]
            if each["unavailable"]:
                continue
            show(f"{peer.name}: starting")
            context = contending(peer, _wires(peer, scene.bundle), scene, folder / peer.name, root, show)
            try:
                contenders.append(stack.enter_context(context))
            except PeerUnavailableError as error:
                each["unavailable"] = str(error)
                show(f"{peer.name} is skipped: {error}")
        yield contenders


def _wires(peer: Peer, bundle: Bundle) -> tuple[Wire, ...]:
    if peer is not OURS:
        return (peer.wire,)
    default = SplitInferenceWire(bundle.manifest.default_codec)
    return tuple(dict.fromkeys((peer.wire, default)))


def _about(peer: Peer) -> dict[str, Any]:
    return {
        "peer": peer.name,
        "label": peer.label,
        "settings": peer.settings,
        "requirements": list(peer.environment.requirements) if peer.environment else [],
        "unavailable": None,
    }


def _bare_loops(scene: Scene, round_number: int) -> Sequence[dict[str, Any]]:
    return [
        {
            "round": round_number,
            "batch": batch,
            "frames_per_s": round(
                bare_frames_per_s(scene.session, scene.features_NCHW[:batch], scene.seconds * _BARE_SHARE), 1
            ),
        }
        for batch in BARE_BATCHES
    ]


def bare_frames_per_s(session: Any, features_NCHW: NDArray[np.float32], seconds: float) -> float:
    """The model in a loop, nothing around it: frames per second at this batch size."""
    piece = np.ascontiguousarray(features_NCHW)
    session.run(None, {"feature": piece})
    runs, started_s = 0, time.perf_counter()
    while time.perf_counter() < started_s + seconds:
        for _ in range(_STEP):
            session.run(None, {"feature": piece})
        runs += _STEP
    return runs * len(piece) / (time.perf_counter() - started_s)


def _pin_whole_process(core: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
