"""Graphs that keep weights in other files are told from those that do not, without the onnx package."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.bundle import EDGE, MANIFEST, Bundle, BundleError, load_bundle, write_bundle
from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.onnx_references import reads_other_files
from tests.tinybundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def outside(name: str = "w") -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros((2, 2), np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def graph(nodes: list[onnx.NodeProto], weights: list[TensorProto]) -> onnx.GraphProto:
    return helper.make_graph(nodes, "g", [], [], weights)


def in_a_branch(inner: onnx.GraphProto) -> onnx.GraphProto:
    return graph([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=graph([], []))], [])


def sparse() -> onnx.GraphProto:
    made = graph([], [])
    made.sparse_initializer.add().values.CopyFrom(outside())
    return made


def in_a_function() -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["y"], value=outside())
    function = helper.make_function("d", "f", [], ["y"], [node], [helper.make_opsetid("", 17)])
    return helper.make_model(graph([], []), functions=[function])


@pytest.mark.parametrize(
    "model",
    [
        helper.make_model(graph([], [outside()])),
        helper.make_model(graph([helper.make_node("Constant", [], ["y"], value=outside())], [])),
        helper.make_model(in_a_branch(graph([], [outside()]))),
        helper.make_model(in_a_branch(in_a_branch(graph([], [outside()])))),
        helper.make_model(sparse()),
        in_a_function(),
    ],
    ids=["weight", "constant", "branch", "branch in a branch", "sparse", "function"],
)
def test_weights_in_other_files_are_found_wherever_the_graph_has_them(model: onnx.ModelProto) -> None:
    assert reads_other_files(model.SerializeToString())


def test_a_graph_that_holds_its_weights_names_no_file(bundle: Bundle) -> None:
    for name in bundle.manifest.files:
        assert not reads_other_files(bundle.read(name))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_graph_are_read_to_their_end(data: bytes) -> None:
    assert reads_other_files(data) in (True, False)


def test_a_bundle_whose_graph_reads_an_unlisted_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(bundle.read(EDGE))
    onnx.save_model(
        model,
        str(tmp_path / "edge.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    split = (tmp_path / "edge.onnx").read_bytes()
    weights = (tmp_path / "weights.bin").read_bytes()
    for files in ({EDGE: split}, {EDGE: split, "weights.bin": weights}):
        with pytest.raises(BundleError, match="keeps weights in other files; export it again as one file"):
            write_bundle(tmp_path / "bundle", bundle.manifest, files, {})
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_of_others_whose_graph_reads_an_unlisted_file_is_refused(tmp_path: Path) -> None:
    foreign = make_tiny_bundle(tmp_path / "foreign")
    split = helper.make_model(graph([], [outside()])).SerializeToString()
    foreign.path(EDGE).write_bytes(split)
    stated = json.loads((foreign.directory / MANIFEST).read_bytes())
    stated["files"][EDGE] = {"sha256": sha256_hex(split), "size_bytes": len(split)}
    (foreign.directory / MANIFEST).write_text(json.dumps(stated))
    with pytest.raises(BundleError, match=r"edge\.onnx: keeps weights in other files"):
        load_bundle(foreign.directory, need=[EDGE])
