"""Other model servers with the same cloud half, for comparisons and as remote engines.

| module | what it does |
| --- | --- |
| ``environment`` | a virtual environment of its own for each, so that their requirements meet nobody else's |
| ``peer`` | what a peer is: how it is started, when it is ready, how it ends |
| ``processes`` | all processes of one peer: paused, resumed, ended, their processor time |
| ``wires``, ``http`` | how clients speak to each |
| ``mlserver`` | MLServer with a custom runtime around ONNX Runtime |
| ``triton`` | NVIDIA Triton as ``nvidia-pytriton`` brings it: a Python callable around ONNX Runtime |
| ``litserve``, ``ray_serve`` | LitServe and Ray Serve with ONNX Runtime in their worker |
| ``plain_grpc`` | the floor: a gRPC handler that runs the model |
| ``ours`` | `siftfunnel cloud` |
| ``script``, ``runtimes`` | what runs inside those environments; imports nothing of ours |
| ``load``, ``contender``, ``comparison``, ``null_model`` | the comparison: clients, turns, rounds |
| ``summary``, ``table``, ``cli`` | medians and ratios, Markdown, `siftfunnel bench peers` |
"""

from collections.abc import Mapping
from types import MappingProxyType

from siftfunnel.bench.peers.litserve import LITSERVE
from siftfunnel.bench.peers.mlserver import MLSERVER
from siftfunnel.bench.peers.ours import OURS
from siftfunnel.bench.peers.peer import Peer
from siftfunnel.bench.peers.plain_grpc import PLAIN_GRPC
from siftfunnel.bench.peers.ray_serve import RAY_SERVE
from siftfunnel.bench.peers.triton import TRITON
from siftfunnel.bench.peers.wires import OpenInferenceWire

PEERS: Mapping[str, Peer] = MappingProxyType(
    {peer.name: peer for peer in (OURS, PLAIN_GRPC, TRITON, RAY_SERVE, LITSERVE, MLSERVER)}
)
"""Every peer by name, ours and the floor among them."""

OPEN_INFERENCE = tuple(name for name, peer in PEERS.items() if isinstance(peer.wire, OpenInferenceWire))
"""Names of those that our front can use as a remote engine."""
