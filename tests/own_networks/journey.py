"""One network through everything: inspect, check, fit, export, verify, cloud and edge, as real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.cloud_server.engine import EngineOptions, open_engine
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.lab.split.likeness import Likeness
from siftfunnel.shared.bundle import CLOUD, Bundle, load_bundle
from siftfunnel.shared.preprocess import prepare
from siftfunnel.shared.tensors import OutputSpec
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.conftest import ROOT, Processes
from tests.integration.test_edge_process import start_cloud
from tests.own_networks.networks import OwnNetwork

PATIENCE_S = 1800


@dataclass(frozen=True)
class Served:
    """What came back from a server, and what the uncut network says of the same pictures.

    Attributes:
        answers: lines of the edge.
        agreement: mean over pictures, measured as the report does.
        difference: from what both halves and the codec say in this process, the largest of all outputs, as a
            share of their size.
    """

    answers: list[dict[str, Any]]
    agreement: float
    difference: float


@dataclass
class Journey:
    """A network on its way.

    Attributes:
        network: which.
        images: a folder or tar of pictures to fit a funnel to.
        folder: where everything lands.
        seconds: of each step so far, kept in the folder: a step that is done is not done again.
    """

    network: OwnNetwork
    images: Path
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self._clock.is_file():
            self.seconds |= json.loads(self._clock.read_text())

    @property
    def _clock(self) -> Path:
        return self.folder / "seconds.json"

    @property
    def bundle(self) -> Path:
        """The bundle's folder."""
        return self.folder / "bundles" / self.network.name

    def run(self, step: str, *arguments: str | Path) -> str:
        """One command of siftfunnel to its end; what it printed.

        Raises:
            AssertionError: it failed; the text is what it said.
        """
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "siftfunnel", *map(str, arguments)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(self.network.python_path()),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"{step}: {arguments}\n{done.stdout}\n{done.stderr}"
        self.seconds[step] = round(time.perf_counter() - started, 1)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clock.write_text(json.dumps(self.seconds))
        return done.stdout

    def inspect(self) -> dict[str, Any]:
        """What `inspect --json` says."""
        told: dict[str, Any] = json.loads(
            self.run("inspect", "split", "inspect", *self.network.file_flags(), "--json", "--no-measure")
        )
        return told

    def check(self) -> dict[str, Any]:
        """What `check --json` says of the wheel's own preprocessing."""
        flags = [*self.network.file_flags(), *self.network.input_flags()]
        told: dict[str, Any] = json.loads(
            self.run("check", "split", "check", *flags, "--images", self.images, "--json")
        )
        return told

    def make_bundle(self, scored: Path | None = None) -> Bundle:
        """Fit, export and verify; figures of other pictures than those fitted to where some are given."""
        flags = [*self.network.file_flags(), *self.network.input_flags(), "--images", self.images]
        flags += [
            "--cut",
            "+".join(self.network.cut),
            "--bytes",
            ",".join(map(str, self.network.bytes_per_frame)),
        ]
        if self.network.classes:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = self.folder / "classes.txt"
            names.write_text("\n".join(self.network.classes) + "\n")
            flags += ["--classes", names]
        run = self.folder / "run"
        if "fit" not in self.seconds:
            self.run("fit", "split", "fit", *flags, "--out", run, "--threads", "1")
        others = ["--images", scored] if scored is not None and scored != self.images else []
        self.run("export", "split", "export", run, "--out", self.bundle, "--threads", "1", *others)
        assert "ok" in self.run("verify", "bundle", "verify", self.bundle)
        return load_bundle(self.bundle)

    def serve(self, pictures: Path, processes: Processes) -> Served:
        """Answers of a real server to a real device, held against the uncut network's."""
        bundle = load_bundle(self.bundle)
        lines, arrays = self.folder / "answers.jsonl", self.folder / "arrays"
        child, address = start_cloud(processes, bundle)
        names = ",".join(output.name for output in bundle.manifest.given)
        flags = ("--bundle", self.bundle, "--server", address, "--source", pictures, "--outputs", names)
        self.run("edge", "edge", *flags, "--output", f"jsonl:{lines}", "--output", f"npz:{arrays}")
        child.process.terminate()
        answers = [json.loads(line) for line in lines.read_text().splitlines()]
        found = [_arrays(arrays, bundle, answer) for answer in answers if answer["outcome"] == "answer"]
        return self._compared(bundle, answers, found)

    def _compared(
        self, bundle: Bundle, answers: list[dict[str, Any]], found: list[Mapping[str, NDArray[Any]]]
    ) -> Served:
        network, spec = self.network.load(), bundle.manifest.input
        tensors = [prepare(answer["source"], spec).tensor for answer in answers]
        whole = network(np.concatenate(tensors))
        outputs: tuple[OutputSpec, ...] = bundle.manifest.given
        served = [np.stack([arrays[output.name] for arrays in found]) for output in outputs]
        agreement = float(Likeness(outputs, whole, (spec.height, spec.width)).agreement_N(served).mean())
        apart = [_apart(a, b) for a, b in zip(served, _here(bundle, tensors), strict=True)]
        return Served(answers, agreement, max(apart))


def _here(bundle: Bundle, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """What the bundle says of pictures without a network between its halves."""
    manifest, model = bundle.manifest, EdgeModel(bundle)
    codec = codec_by_name(make_codecs(manifest, bundle.digest), manifest.default_codec)
    engine = open_engine("onnxruntime", bundle.path(CLOUD), manifest, EngineOptions())
    decoded = [codec.decode(codec.encode(model.features(tensor)[0])) for tensor in tensors]
    each = [engine.run(feature[None]) for feature in decoded]
    return [np.concatenate([outputs[place] for outputs in each]) for place in range(len(manifest.given))]


def _apart(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-9))


def _arrays(folder: Path, bundle: Bundle, answer: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    place = folder / f"{bundle.name}-{answer['sequence']:08}.npz"
    with np.load(place, allow_pickle=False) as read:
        return dict(read)
