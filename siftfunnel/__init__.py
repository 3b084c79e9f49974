"""The product's face: console entry, demo, certificates and shipped assets; imports everyone lazily.

The rooms (`edge_client`, `cloud_server`, `attacker`, `lab`, `bench`, `shared`) are folders beside this one
and links inside it: they are imported, checked and installed as `siftfunnel.edge_client` and so on, and no
name but `siftfunnel` is taken in an environment.

Importing it also keeps ONNX Runtime from phoning home: official builds since 1.29 report each process and
each loaded model to their maker unless this variable is set before they are imported. Whoever wants that sets
the variable to 0.
"""

import os
from importlib.metadata import PackageNotFoundError, version

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    __version__ = version("siftfunnel")
except PackageNotFoundError:
    # a source tree on PYTHONPATH that was never installed, as in a container build stage
    __version__ = "0+unknown"

__all__ = ["__version__"]
