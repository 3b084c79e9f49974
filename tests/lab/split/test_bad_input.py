"""Networks and pictures that are unlike what one expects: taken as they are, or refused with what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image

from siftfunnel.cli import main
from siftfunnel.shared.bundle import load_bundle
from tests.lab.split import cutnets, smallnets
from tests.lab.split.smallnets import CONV_WEIGHTS, PADDED, graph, node, save

END = [node("GlobalAveragePool", "e", "g"), node("Flatten", "g", "h"), node("Gemm", "h w3", "out", transB=1)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cutnets.stored_pictures(tmp_path_factory.mktemp("pictures"), 110)


def noisy() -> onnx.ModelProto:
    """Noise on purpose, behind a and before c."""
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("RandomNormalLike", "a", "n", scale=0.05),
        node("Add", "a n", "b"),
        node("Relu", "b", "c"),
        node("Conv", "c w2", "e", **PADDED),
        *END,
    ]
    return graph(nodes, CONV_WEIGHTS)


def half_precision() -> onnx.ModelProto:
    model = smallnets.residual(dtype=TensorProto.FLOAT16)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def eight_bits() -> onnx.ModelProto:
    scale = float(np.abs(CONV_WEIGHTS["w1"]).max()) / 127
    levels = np.rint(CONV_WEIGHTS["w1"] / scale).astype(np.int8)
    nodes = [
        node("DequantizeLinear", "levels scale", "w1"),
        node("Conv", "image w1", "a", **PADDED),
        node("QuantizeLinear", "a step zero", "q"),
        node("DequantizeLinear", "q step zero", "c"),
        node("Relu", "c", "d"),
        node("Conv", "d w2", "e", **PADDED),
        *END,
    ]
    numbers = {"levels": levels, "scale": np.float32(scale), "step": np.float32(0.05), "zero": np.uint8(128)}
    return graph(
        nodes,
        {**{k: np.asarray(v) for k, v in numbers.items()}, **{k: CONV_WEIGHTS[k] for k in ("w2", "w3")}},
    )


def with_branches() -> onnx.ModelProto:
    def body(operator: str) -> onnx.GraphProto:
        name = f"{operator}_y"
        told = onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return onnx.helper.make_graph([node(operator, "c", name)], operator, [], [told])

    nodes = [
        node("Conv", "image w1", "c", **PADDED),
        node("Shape", "c", "s"),
        node("Gather", "s one", "channels"),
        node("Greater", "channels one", "is"),
        node("If", "is", "d", then_branch=body("Relu"), else_branch=body("Neg")),
        node("Conv", "d w2", "e", **PADDED),
        *END,
    ]
    return graph(nodes, {**CONV_WEIGHTS, "one": np.array(1)})


@pytest.mark.parametrize("funnel", [["--bytes", "40"], ["--funnel", "none"]])
@pytest.mark.parametrize("make", [noisy, half_precision, eight_bits, with_branches])
def test_what_is_unusual_is_taken_as_it_is_and_its_bundle_passes(
    make: Callable[[], onnx.ModelProto], funnel: list[str], pictures: Path, tmp_path: Path
) -> None:
    model, run, out = make(), tmp_path / "run", tmp_path / "bundle"
    cut = "b" if make is half_precision else "c"
    net = save(model, tmp_path)
    wanted = ["--images", str(pictures), "--preset", "zero-to-one", "--cut", cut, *funnel, "--out", str(run)]
    assert main(["split", "fit", str(net), *wanted]) == 0
    assert main(["split", "export", str(run), "--out", str(out)]) == 0
    assert main(["bundle", "verify", str(out)]) == 0
    bundle = load_bundle(out)
    has_edge_test = "selftest-edge.npz" in bundle.manifest.files
    assert has_edge_test == (make is not noisy)


def test_noise_is_the_devices_or_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, run = save(noisy(), tmp_path), tmp_path / "run"
    wanted = ["--images", str(pictures), "--preset", "zero-to-one", "--funnel", "none", "--out", str(run)]
    assert main(["split", "fit", str(net), *wanted, "--cut", "a"]) == 2
    assert "cut behind the noise" in capsys.readouterr().err
    assert main(["split", "fit", str(net), *wanted, "--cut", "c"]) == 0
    assert "draws noise" in capsys.readouterr().err


def test_a_half_beyond_protobufs_limit_is_refused_before_anything_is_fitted(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.lab.onnx_graphs.PROTOBUF_LIMIT", 500)
    net = save(smallnets.residual(), tmp_path)
    assert main(["split", "inspect", str(net), "--no-measure"]) == 0
    wanted = ["--images", str(pictures), "--preset", "raw", "--cut", "b", "--out", str(tmp_path / "run")]
    assert main(["split", "fit", str(net), *wanted]) == 2
    assert "the cloud half has more weights than the 2 GiB" in capsys.readouterr().err


def test_names_of_classes_are_counted_before_anything_is_fitted(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    net, run = save(smallnets.residual(), tmp_path), tmp_path / "run"
    wanted = ["--images", str(pictures), "--preset", "raw", "--cut", "b", "--out", str(run)]
    named = [*wanted, "--classes", str(tmp_path / "names.txt")]
    assert main(["split", "fit", str(net), *named]) == 2
    assert "has 5 classes, 2 names are given" in capsys.readouterr().err
    assert main(["split", "fit", str(net), *named, "--kind", "out=tensor"]) == 2
    assert "no output ranks classes" in capsys.readouterr().err
    assert not run.exists()


def test_a_half_that_has_no_gradients_is_fitted_and_not_trained(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, run = save(eight_bits(), tmp_path), tmp_path / "run"
    wanted = ["--images", str(pictures), "--preset", "zero-to-one", "--cut", "a", "--bytes", "40"]
    assert main(["split", "fit", str(net), *wanted, "--out", str(run)]) == 0
    assert main(["split", "train", str(run)]) == 2
    told = capsys.readouterr().err
    assert "QuantizeLinear" in told
    assert "the linear funnel can be exported" in told


def test_grey_pictures_for_a_network_of_colours_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "grey"
    place.mkdir()
    for number, picture in enumerate(cutnets.pictures(110, seed=5)):
        Image.fromarray(picture).convert("L").save(place / f"{number}.png")
    net = save(smallnets.residual(), tmp_path)
    wanted = ["--images", str(place), "--preset", "zero-to-one", "--cut", "b", "--funnel", "none"]
    assert main(["split", "fit", str(net), *wanted, "--out", str(tmp_path / "run")]) == 0
    assert "110 of 110 pictures are grey" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "no pictures in it"),
        ({"a.txt": b"x"}, "no pictures in it"),
        ({"a.png": b"x"}, "could not be read"),
    ],
)
def test_a_folder_without_pictures_is_refused_with_what_to_do(
    files: dict[str, bytes], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "in"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    net = save(smallnets.residual(), tmp_path)
    wanted = ["--images", str(place), "--preset", "raw", "--cut", "b", "--out", str(tmp_path / "run")]
    assert main(["split", "fit", str(net), *wanted]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
