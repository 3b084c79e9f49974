"""The room in Python: somebody's own network, looked at and cut. Listed once, here.

from siftfunnel.lab.split import api as split

network = split.load_network(Path("net.onnx"))
for cut in split.find_cuts(network):
print(cut.name, cut.elements, f"{cut.mac_share:.0%}")
both = split.halves(network, split.cut_named(network, "block3"))
"""

from siftfunnel.lab.split.checking import Finding, check, read_pictures
from siftfunnel.lab.split.cuts import Cut, cut_named, find_cuts
from siftfunnel.lab.split.graphs import NetworkError
from siftfunnel.lab.split.halves import Halves, halves
from siftfunnel.lab.split.network import Network, load_network
from siftfunnel.lab.split.presets import all_presets, preset
from siftfunnel.lab.split.torch_network import network_of_module

__all__ = [
    "Cut",
    "Finding",
    "Halves",
    "Network",
    "NetworkError",
    "all_presets",
    "check",
    "cut_named",
    "find_cuts",
    "halves",
    "load_network",
    "network_of_module",
    "preset",
    "read_pictures",
]
