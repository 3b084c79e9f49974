"""One network through everything: inspect, check, fit, export, verify, cloud and edge, as real processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.split.likeness import Likeness
from siftfunnel.lab.split.network import Network, load_network
from siftfunnel.lab.split.torch_network import network_of_factory
from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.preprocess import prepare
from tests.conftest import ROOT, Processes
from tests.integration.test_edge_process import start_cloud
from tests.own_networks.networks import OwnNetwork

PATIENCE_S = 1800


@dataclass
class Journey:
    """A network on its way.

    Attributes:
        network: which.
        images: a folder or tar of pictures to fit a funnel to.
        folder: where everything lands.
        seconds: of each step so far.
    """

    network: OwnNetwork
    images: Path
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.folder / self.network.name

    def run(self, step: str, *arguments: str | Path) -> str:
        """One command of siftfunnel to its end; what it printed.

        Raises:
            AssertionError: it failed; the text is what it said.
        """
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "siftfunnel", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": self._python_path()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"{step}: {done.args}\n{done.stdout}\n{done.stderr}"
        self.seconds[step] = round(time.perf_counter() - started, 1)
        return done.stdout

    def _python_path(self) -> str:
        return os.pathsep.join([str(self.network.code), *filter(None, [os.environ.get("PYTHONPATH")])])
