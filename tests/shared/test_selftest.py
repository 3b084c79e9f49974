"""By its self-test each end proves that it computes what was computed where the bundle was exported."""

import numpy as np
import pytest

from siftfunnel.shared.bundle import write_bundle
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.selftest import (
    CLOUD_TEST,
    EDGE_TEST,
    check_cloud,
    check_edge,
    make_selftest,
)
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack, pack_arrays, unpack_array
from tests.shared.test_manifest_2 import own

TENSORS = (TensorSpec("/deep/cut", (4, 3, 3)), TensorSpec("skip", (6,)))
OUTPUTS = (
    OutputSpec("scores", "logits", (3,)),
    OutputSpec("boxes", "tensor", (None, 4)),
    OutputSpec("map", "tensor", (30,), "int64"),
)
SPEC = InputSpec(40, 48, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), shorter_side=52, filter="bicubic")
MANIFEST = own(tensors=TENSORS, feature=pack(TENSORS), outputs=OUTPUTS, input=SPEC)


def run_edge(tensor):
    """Two tensors that depend on every value of the input."""
    values = tensor.astype(np.float32).reshape(1, -1)
    spread = np.sin(np.arange(values.size * 2, dtype=np.float32)).reshape(-1, 2)
    parts = [np.resize(np.cos(values @ spread) + 1, (1, *each.shape)).astype(np.float32) for each in TENSORS]
    return pack_arrays(parts, TENSORS)


def run_cloud(features):
    deep, skip = unpack_array(features, TENSORS)
    boxes = np.tile(skip[:, None, :4], (1, 2, 1))
    return skip[:, :3] * 9, boxes, (np.resize(deep, (len(features), 30)) * 100).astype(np.int64)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    files = make_selftest(MANIFEST, run_edge, run_cloud)
    assert sorted(files) == [CLOUD_TEST, EDGE_TEST]
    return write_bundle(tmp_path_factory.mktemp("own"), MANIFEST, files, {})


def test_whoever_computes_the_same_passes(bundle):
    assert check_edge(bundle, run_edge)
    assert check_cloud(bundle, run_cloud)


def test_a_bundle_without_a_self_test_is_taken_as_it_is(tmp_path):
    old = write_bundle(tmp_path / "old", MANIFEST, {}, {})
    assert not check_edge(old, run_edge)
    assert not check_cloud(old, run_cloud)
