"""Our own server, measured as the others are."""

from siftfunnel.bench.peers.peer import Peer, Place
from siftfunnel.bench.peers.wires import SplitInferenceWire
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.ports import LOOPBACK

EXACT_CODEC = "fp32"


def command(bundle: Bundle, place: Place) -> list[str]:
    """`siftfunnel cloud` with its defaults."""
    listen = f"{LOOPBACK}:{place.ports[0]}"
    return [
        *(str(place.python), "-P", "-m", "siftfunnel", "cloud", "--bundle", str(bundle.directory.resolve())),
        *("--listen", listen, "--log-level", "warning"),
    ]


OURS = Peer(
    name="siftfunnel",
    label="siftfunnel cloud",
    settings="its defaults: batches of at most 16, no batch wait, one worker",
    wire=SplitInferenceWire(EXACT_CODEC),
    environment=None,
    command=command,
)
