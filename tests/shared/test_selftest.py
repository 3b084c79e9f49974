"""By its self-test each end proves that it computes what was computed where the bundle was exported."""

from dataclasses import replace

import numpy as np
import pytest

from siftfunnel.shared.bundle import write_bundle
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import BundleError
from siftfunnel.shared.preprocess import prepare
from siftfunnel.shared.selftest import (
    CLOUD_TEST,
    EDGE_TEST,
    MAX_TENSOR_ERROR,
    CloudTest,
    EdgeTest,
    SelfTestError,
    check_cloud,
    check_edge,
    difference,
    make_selftest,
)
from siftfunnel.shared.tensors import OutputSpec, TensorSpec, pack, pack_arrays, unpack_array
from siftfunnel.shared.wire import packed
from tests.shared.test_manifest_2 import FP32, own

TENSORS = (TensorSpec("/deep/cut", (4, 3, 3)), TensorSpec("skip", (6,)))
OUTPUTS = (
    OutputSpec("scores", "logits", (3,)),
    OutputSpec("boxes", "tensor", (None, 4)),
    OutputSpec("map", "tensor", (30,), "int64"),
)
SPEC = InputSpec(40, 48, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), shorter_side=52, filter="bicubic")
CODEC = packed("fp32", [FP32, FP32])
MANIFEST = own(tensors=TENSORS, feature=pack(TENSORS), outputs=OUTPUTS, input=SPEC, codecs=(CODEC,))


def run_edge(tensor):
    """Two tensors that depend on every value of the input."""
    values = tensor.astype(np.float32).reshape(1, -1)
    spread = np.sin(np.arange(values.size * 7, dtype=np.float32)).reshape(-1, 7)
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


# preprocessing


def wrong(changes):
    other = replace(SPEC, **changes)
    return lambda image, spec: prepare(image, other)


@pytest.mark.parametrize(
    "changes",
    [
        {"filter": "lanczos"},
        {"filter": "bilinear"},
        {"antialias": False},
        {"shorter_side": 50},
        {"shorter_side": None},
        {"shorter_side": None, "crop": "stretch"},
        {"shorter_side": None, "crop": "letterbox"},
        {"colour": "BGR"},
        {"scale": 1 / 256},
        {"mean": (0.4, 0.5, 0.61)},
        {"std": (0.2, 0.25, 0.31)},
        {"layout": "NHWC"},
        {"dtype": "float16"},
        {"colour": "grey", "mean": (0.4,), "std": (0.2,)},
    ],
    ids=str,
)
def test_preprocessing_that_differs_in_one_word_is_found_and_named(bundle, changes):
    with pytest.raises(SelfTestError, match="preprocessing: bundle lite0: ") as caught:
        check_edge(bundle, run_edge, wrong(changes))
    assert caught.value.part == "preprocessing"


LETTERBOX = InputSpec(
    32, 32, crop="letterbox", layout="NHWC", colour="BGR", dtype="uint8", scale=1, mean=(0,) * 3, std=(1,) * 3
)


@pytest.mark.parametrize("changes", [{"padding": 0}, {"colour": "RGB"}, {"crop": "stretch"}], ids=str)
def test_the_words_of_a_letterbox_are_found_too(tmp_path, changes):
    files = make_selftest(replace(MANIFEST, input=LETTERBOX), run_edge, run_cloud)
    boxed = write_bundle(tmp_path / "boxed", replace(MANIFEST, input=LETTERBOX), files, {})
    assert check_edge(boxed, run_edge)
    with pytest.raises(SelfTestError, match="preprocessing"):
        check_edge(boxed, run_edge, lambda image, spec: prepare(image, replace(spec, **changes)))


def test_an_input_of_half_precision_and_another_rounding_pass(bundle):
    def rounded(image, spec):
        prepared = prepare(image, spec)
        step = spec.scale / np.asarray(spec.std)[:, None, None]
        off = np.random.default_rng(0).choice([-1, 0, 1], prepared.tensor.shape, p=[0.05, 0.9, 0.05]) * step
        return replace(prepared, tensor=(prepared.tensor + off).astype(np.float32))

    assert check_edge(bundle, run_edge, rounded)


# runtime


def test_a_runtime_that_rounds_coarsely_passes(bundle):
    def halved(tensor):
        return run_edge(tensor).astype(np.float16).astype(np.float32)

    assert check_edge(bundle, halved)
    assert check_cloud(bundle, lambda features: run_cloud(features.astype(np.float16).astype(np.float32)))


@pytest.mark.parametrize("change", [lambda z: z[:, ::-1], lambda z: z * 1.2, lambda z: z * np.nan])
def test_an_edge_half_that_computes_something_else_is_named(bundle, change):
    with pytest.raises(SelfTestError, match=r"edge half: .*tensor '/deep/cut' is ") as caught:
        check_edge(bundle, lambda tensor: change(run_edge(tensor)))
    assert caught.value.part == "edge half"


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (0, lambda a: a[:, ::-1], "output 'scores' is "),
        (1, lambda a: a + 1, "output 'boxes' is "),
        (2, lambda a: a + 1, "output 'map' is 100% off"),
        (0, lambda a: a.astype(np.float64), r"output 'scores' is float64 \(3,\), the manifest says float32"),
        (
            1,
            lambda a: a[..., :3],
            r"output 'boxes' is float32 \(2, 3\), the manifest says float32 \(None, 4\)",
        ),
    ],
)
def test_a_cloud_half_that_computes_something_else_is_named(bundle, number, change, message):
    def changed(features):
        outputs = list(run_cloud(features))
        outputs[number] = change(outputs[number])
        return outputs

    with pytest.raises(SelfTestError, match=f"cloud half: .*{message}") as caught:
        check_cloud(bundle, changed)
    assert caught.value.part == "cloud half"


@pytest.mark.parametrize(
    ("found", "wanted", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([1.1, 2.2], [1.0, 2.0], 0.1),
        ([-np.inf, np.nan, 1.0], [-np.inf, np.nan, 1.0], 0),
        ([-np.inf, 1.0, 1.0], [-np.inf, np.nan, 1.0], np.inf),
        ([np.nan, 1.0], [1.0, 1.0], np.nan),
        ([1e-5, 0.0], [0.0, 0.0], 0.07),
        ([], [], 0),
    ],
)
def test_how_far_values_are_apart_is_a_share_of_what_is_stored(found, wanted, apart):
    told, most = difference(np.array(found, np.float32), np.array(wanted, np.float32))
    assert told == pytest.approx(apart, abs=0.005, nan_ok=True)
    assert most == MAX_TENSOR_ERROR


def test_a_detector_may_find_one_thing_more(bundle):
    def more(features):
        scores, boxes, numbers = run_cloud(features)
        return scores, np.concatenate([boxes, boxes[:, :1]], axis=1), numbers

    assert check_cloud(bundle, more)


def test_halves_that_draw_noise_get_no_self_test():
    rng = np.random.default_rng(0)
    with pytest.raises(SelfTestError, match="edge half"):
        make_selftest(MANIFEST, lambda x: rng.normal(size=run_edge(x).shape).astype(np.float32), run_cloud)


def test_where_the_edge_half_draws_noise_on_purpose_the_cloud_still_proves_itself():
    rng = np.random.default_rng(0)

    def noisy(x):
        return rng.normal(size=run_edge(x).shape).astype(np.float32)

    assert set(make_selftest(MANIFEST, noisy, run_cloud, edge_draws_noise=True)) == {"selftest-cloud.npz"}


def test_an_input_that_is_very_large_gets_none():
    large = replace(MANIFEST, input=InputSpec(1025, 8))
    assert make_selftest(large, run_edge, run_cloud) == {}


def test_the_same_bundle_gives_the_same_bytes():
    assert make_selftest(MANIFEST, run_edge, run_cloud) == make_selftest(MANIFEST, run_edge, run_cloud)


# the files


def test_a_file_that_is_larger_than_its_tensors_is_not_read(tmp_path):
    files = {CLOUD_TEST: b"\0" * 2**20}
    bundle = write_bundle(tmp_path / "large", replace(MANIFEST, outputs=OUTPUTS[:1]), files, {})
    with pytest.raises(BundleError, match="has 1048576 bytes, its tensors need at most"):
        check_cloud(bundle, run_cloud)


def test_a_self_test_of_other_tensors_is_refused():
    files = make_selftest(MANIFEST, run_edge, run_cloud)
    tensors = (TENSORS[0], TensorSpec("skip", (5,)))
    other = replace(MANIFEST, tensors=tensors, feature=pack(tensors))
    with pytest.raises(
        BundleError, match=r"sent_1\.npy is float32 \(1, 6\), the manifest says float32 \(1, 5\)"
    ):
        EdgeTest.from_bytes(files[EDGE_TEST], other)
    with pytest.raises(BundleError, match=r"selftest-cloud\.npz: holds"):
        CloudTest.from_bytes(files[EDGE_TEST], MANIFEST)
