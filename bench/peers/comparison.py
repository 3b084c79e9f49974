"""All peers side by side: one model after the other, rounds interleaved, servers and clients on a core each.

    real model: bare loop, A, B, C, ... | bare loop, A, B, C, ... | ...
    null model: the same

Everything is written into one document as it comes, so that an interrupted run keeps what it has.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftfunnel.bench.cores import on_core, pin_whole_process
from siftfunnel.bench.halves import BareModel, edge_features, write_null_bundle
from siftfunnel.bench.peers.catalogue import OURS, PEERS
from siftfunnel.bench.peers.contender import Contender, Scene, contending
from siftfunnel.bench.peers.environment import PeerUnavailableError
from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.table import BARE_BATCHES
from siftfunnel.bench.peers.wires import SplitInferenceWire, Wire
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.settings import check, setting

MODELS = ("real", "null")
_BARE_SHARE = 0.5

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
        ValueError: an unknown peer or model, no load, nothing to measure with.
    """

    bundle: Bundle
    peers: tuple[str, ...]
    models: tuple[str, ...]
    clients: tuple[int, ...]
    server_core: int
    client_core: int
    seconds: float = setting(2.0, "length of one load", above=0)
    rounds: int = setting(4, "turns of each peer", least=1)

    def __post_init__(self) -> None:
        check(self)
        for names, known, what in ((self.peers, PEERS, "peer"), (self.models, MODELS, "model")):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
            if not names:
                raise ValueError(f"name at least one {what}: {', '.join(known)}")
        if not self.clients or min(self.clients) < 1:
            raise ValueError("a load needs at least one client")


class Comparison:
    """All peers of a plan, one model after the other.

    Args:
        plan: What is measured.
        document: Filled as figures come; ``complete`` turns true at the end.
        root: Where environments are kept.
        show: Takes a line of progress.
        save: Called after every round.
    """

    def __init__(
        self, plan: Plan, document: dict[str, Any], root: Path, show: Show, save: Callable[[], None]
    ) -> None:
        self._plan, self._document = plan, document
        self._root, self._show, self._save = root, show, save

    def run(self) -> None:
        """Measure everything in the plan."""
        plan, bundle = self._plan, self._plan.bundle
        self._document |= {
            "bundle": bundle.name,
            "digest": bundle.digest,
            "feature_shape": list(bundle.manifest.feature.shape),
            "clients": list(plan.clients),
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "server_core": plan.server_core,
            "client_core": plan.client_core,
            "complete": False,
            "peers": [_about(PEERS[name]) for name in plan.peers],
            "models": [],
        }
        features_NCHW = edge_features(bundle)
        pin_whole_process(plan.client_core)
        with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="peers-") as folder:
            for model in plan.models:
                place = Path(folder) / model
                served = bundle if model == "real" else write_null_bundle(place / "null-bundle", bundle)
                with on_core(plan.server_core):
                    bare = BareModel(served)
                scene = Scene(served, features_NCHW, bare, runner, plan.server_core, plan.seconds)
                self._compare_on(model, scene, place)
        self._document["complete"] = True
        self._save()

    def _compare_on(self, model: str, scene: Scene, folder: Path) -> None:
        measured: dict[str, Any] = {"model": model, "bare": [], "rows": []}
        self._document["models"].append(measured)
        with self._all_contending(scene, folder) as contenders:
            measured["rows"] += [row for contender in contenders for row in contender.rows]
            for number in range(1, self._plan.rounds + 1):
                with on_core(scene.core):
                    measured["bare"] += _bare_loops(scene, number)
                for contender in contenders:
                    if not contender.stopped:
                        contender.turn(number, self._plan.clients)
                        if contender.stopped:
                            self._show(f"{contender.peer.name} fell out: {contender.rows[0]['stopped']}")
                self._show(f"{model} model, round {number} of {self._plan.rounds} done")
                self._save()

    @contextmanager
    def _all_contending(self, scene: Scene, folder: Path) -> Iterator[list[Contender]]:
        with ExitStack() as stack:
            contenders = []
            for each in self._document["peers"]:
                peer = PEERS[each["peer"]]
                if each["unavailable"]:
                    continue
                self._show(f"{peer.name}: starting")
                serving = peer.serving(scene.bundle, folder / peer.name, self._root, self._show, scene.core)
                try:
                    contenders.append(
                        stack.enter_context(contending(peer, _wires(peer, scene.bundle), serving, scene))
                    )
                except PeerUnavailableError as error:
                    each["unavailable"] = str(error)
                    self._show(f"{peer.name} is skipped: {error}")
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
                scene.model.frames_per_s(scene.features_NCHW[:batch], scene.seconds * _BARE_SHARE), 1
            ),
        }
        for batch in BARE_BATCHES
    ]
