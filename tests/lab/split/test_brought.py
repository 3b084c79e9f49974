"""Halves that somebody has cut already."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from siftfunnel.lab.split.brought import joined_network
from siftfunnel.lab.split.graphs import NetworkError
from siftfunnel.lab.split.halves import Halves, halves
from siftfunnel.lab.split.runner import Runner
from tests.lab.split import cutnets


def stored(made: Halves, folder: Path) -> tuple[Path, Path]:
    onnx.save_model(made.edge, str(folder / "e.onnx"))
    onnx.save_model(made.cloud, str(folder / "c.onnx"))
    return folder / "e.onnx", folder / "c.onnx"


@pytest.mark.parametrize("made", [cutnets.classifier(), cutnets.two_tensors()])
def test_two_halves_are_one_network_cut_where_they_meet(made: Halves, tmp_path: Path) -> None:
    network, cut = joined_network(*stored(made, tmp_path))
    assert [tensor.shape for tensor in cut.tensors] == [tensor.shape for tensor in made.tensors]
    again = halves(network, cut)
    frames = network.random_frames(3)
    sent = Runner(made.edge)(frames)
    for found, expected in zip(Runner(again.edge)(frames), sent, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(Runner(again.cloud)(*sent)[0], Runner(made.cloud)(*sent)[0], atol=1e-5)


def test_halves_whose_names_do_not_meet_are_refused_by_name(tmp_path: Path) -> None:
    edge, _ = stored(cutnets.two_tensors(), tmp_path)
    other = cutnets.classifier()
    onnx.save_model(other.cloud, str(tmp_path / "other.onnx"))
    with pytest.raises(NetworkError, match="gives maps, vector, the cloud half takes maps"):
        joined_network(edge, tmp_path / "other.onnx")
