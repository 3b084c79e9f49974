from typing import Any

import numpy as np
import pytest

from siftfunnel.shared.bundle import BundleError, CodecSpec, FeatureSpec
from siftfunnel.shared.wire import calibrate
from siftfunnel.shared.wire.kinds import make_body
from siftfunnel.shared.wire.seal import SEAL_BYTES, Seal


def quantiser_of(codecs, name, shape):
    spec = next(codec for codec in codecs if codec.name == name)
    body: Any = make_body(spec, FeatureSpec(*shape))
    return body.quantiser


def test_the_codecs_and_their_kinds():
    codecs = calibrate(np.ones((2, 1, 2, 2), np.float32))
    assert [(codec.name, codec.kind) for codec in codecs] == [
        ("fp32", "float"),
        ("fp16", "float"),
        ("int8", "affine"),
        ("q8", "table"),
        ("q7", "table"),
        ("q6", "table"),
        ("q5", "table"),
        ("q4", "table"),
    ]


def test_the_same_features_give_the_same_tables():
    features = np.random.default_rng(0).normal(size=(20, 3, 4, 4)).astype(np.float32)
    assert calibrate(features) == calibrate(features.copy())


def test_a_uniform_range_is_covered_from_end_to_end():
    features = np.linspace(-1, 3, 4096, dtype=np.float32).reshape(16, 1, 16, 16)
    quantiser = quantiser_of(calibrate(features), "q4", (1, 16, 16))
    # 15 steps over a range of 4: zero falls between levels 3 and 4, so the step stretches to 3 / 11
    assert quantiser.zero_levels.tolist() == [4]
    assert quantiser.steps[0] == pytest.approx(3 / 11, rel=0.01)
    assert quantiser.lowest[0, 0] <= -1
    assert quantiser.highest[0, 0] == pytest.approx(3, rel=0.01)


def test_one_outlier_does_not_widen_the_step_of_a_coarse_codec():
    features = np.random.default_rng(0).uniform(0, 1, (256, 1, 16, 16)).astype(np.float32)
    features[0, 0, 0, 0] = 3.0
    quantiser = quantiser_of(calibrate(features), "q4", (1, 16, 16))
    assert quantiser.highest[0, 0] < 1.1


def test_channels_have_steps_of_their_own():
    features = np.zeros((4, 2, 8, 8), np.float32)
    features[:, 0] = np.linspace(0, 1, 64).reshape(8, 8)
    features[:, 1] = np.linspace(0, 50, 64).reshape(8, 8)
    steps = quantiser_of(calibrate(features), "q6", (2, 8, 8)).steps
    assert steps[1] / steps[0] == pytest.approx(50, rel=0.1)


def test_a_dead_channel_gets_a_step_of_one_and_costs_next_to_nothing():
    codecs = calibrate(np.zeros((4, 1, 8, 8), np.float32))
    assert quantiser_of(codecs, "q8", (1, 8, 8)).steps.tolist() == [1.0]
    payload = make_body(codecs[3], FeatureSpec(1, 8, 8)).write(
        np.zeros((1, 64), np.float32), Seal("0" * 64, 3)
    )
    assert len(payload) - SEAL_BYTES < 5


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((3, 4, 5), np.float32),
        np.zeros((1, 3, 4, 5), np.float64),
        np.zeros((0, 3, 4, 5), np.float32),
    ],
    ids=["rank", "type", "none"],
)
def test_features_of_another_form_are_refused(features):
    with pytest.raises(ValueError, match=r"expected float32 features of shape \(N, C, H, W\)"):
        calibrate(features)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN or infinity"):
        calibrate(np.full((1, 1, 2, 2), np.nan, np.float32))


# parameters as they stand in a manifest

TABLE = calibrate(np.random.default_rng(0).uniform(size=(8, 2, 4, 4)).astype(np.float32))[-1].parameters


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("float", {}, "codec x: field 'dtype' is missing"),
        (
            "float",
            {"dtype": "float64"},
            "codec x: field 'dtype' must be 'float32' or 'float16', not 'float64'",
        ),
        ("float", {"dtype": "float32", "more": 1}, "codec x: field 'more' is unknown"),
        ("affine", {"step": 0, "zero_level": 0}, "codec x: field 'step' must lie in"),
        ("affine", {"step": "1", "zero_level": 0}, "codec x: field 'step' must be a number, not a text"),
        ("affine", {"step": 1, "zero_level": 256}, r"codec x: field 'zero_level' must lie in \[0, 255\]"),
        ("affine", {"step": 1}, "codec x: field 'zero_level' is missing"),
        ("table", {**TABLE, "levels": 257}, r"codec x: field 'levels' must lie in \[2, 256\]"),
        ("table", {**TABLE, "levels": 15}, "codec x: field 'counts' holds 64 bytes, not the 60"),
        ("table", {**TABLE, "precision_bits": 12}, "codec x: counts of channel 0 add up to 16384, not 4096"),
        ("table", {**TABLE, "precision_bits": 13}, "codec x: precision_bits must be one of"),
        ("table", {**TABLE, "steps": "AAAAAAAAAAA="}, "codec x: steps must lie in"),
        ("table", {**TABLE, "steps": "AAAA"}, "codec x: field 'steps' holds 3 bytes, not the 8"),
        ("table", {**TABLE, "steps": "*"}, "codec x: field 'steps' is not base64"),
        ("table", {**TABLE, "zero_levels": "//8="}, r"codec x: zero_levels must lie in \[0, 15\]"),
        ("table", {**TABLE, "counts": "AAAA" * 21 + "AA=="}, "holds 64 bytes|hold a 0"),
        ("table", {k: v for k, v in TABLE.items() if k != "counts"}, "codec x: field 'counts' is missing"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_codec(kind, parameters, message):
    with pytest.raises(BundleError, match=message):
        make_body(CodecSpec("x", kind, parameters), FeatureSpec(2, 4, 4))
