"""Schema 2: what a network that people bring needs words for; schema 1 stays as it was."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import BundleError, CodecSpec, Manifest
from siftfunnel.shared.tensors import FeatureSpec, OutputSpec, TensorSpec, pack
from tests.shared.golden import stored_manifest

FP32 = CodecSpec("fp32", "float", {"dtype": "float32"})


def own(**changes):
    tensors = (TensorSpec("cut", (40, 28, 28)),)
    given = {
        "name": "lite0",
        "architecture": "foreign",
        "defence": "none",
        "split_point": "cut",
        "input": InputSpec(224, 224, (0.5,) * 3, (0.5,) * 3, shorter_side=256, filter="bicubic"),
        "feature": pack(tensors),
        "classes": ("crane", "crane", "tench"),
        "class_ids": ("n02012849", "n03126707", "n01440764"),
        "label_kind": "category",
        "codecs": (FP32,),
        "default_codec": "fp32",
        "schema_version": 2,
        "tensors": tensors,
        "outputs": (OutputSpec("scores", "logits", (3,)), OutputSpec("boxes", "tensor", (None, 4))),
        "original_sha256": "0" * 64,
    }
    return Manifest(**{**given, **changes})


sides = st.integers(1, 9)
tensor_lists = st.lists(
    st.builds(
        TensorSpec, st.text(min_size=1, max_size=4), st.lists(sides, min_size=1, max_size=4).map(tuple)
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda tensor: tensor.name,
).map(tuple)


@given(tensor_lists)
def test_what_is_written_is_read(tensors):
    manifest = own(tensors=tensors, feature=pack(tensors))
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(tensor_lists)
def test_a_packed_feature_has_every_value_of_its_tensors(tensors):
    assert pack(tensors).size == sum(tensor.size for tensor in tensors)


def test_one_tensor_of_maps_is_packed_to_itself():
    assert pack((TensorSpec("cut", (40, 28, 14)),)) == FeatureSpec(40, 28, 14)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature": FeatureSpec(1, 2, 3)}, "not what the tensors are packed to"),
        ({"class_ids": ()}, "class_ids must be non-empty texts, each once"),
        ({"class_ids": ("a", "b")}, "class_ids must be 3"),
        ({"outputs": (OutputSpec("e", "embedding", (8,)),)}, "classes need an output that is their scores"),
        ({"outputs": (OutputSpec("s", "logits", (4,)),)}, r"has shape \(4,\), the classes are 3"),
        ({"outputs": ()}, "outputs must be at least 1"),
        ({"frames_per_run": 0}, "frames_per_run must be at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        own(**changes)


def test_a_network_without_classes_has_none():
    outputs = (OutputSpec("vector", "embedding", (128,)),)
    manifest = own(classes=(), class_ids=(), outputs=outputs)
    assert (manifest.scores, manifest.given) == (None, outputs)


def test_schema_1_says_what_it_always_said():
    manifest = Manifest.from_json(stored_manifest())
    assert manifest.to_json() == stored_manifest()
    assert manifest.sent == (TensorSpec("feature", manifest.feature.shape),)
    assert manifest.given == (OutputSpec("logits", "logits", (len(manifest.classes),)),)
    assert manifest.ids == manifest.classes


def test_schema_1_has_no_words_for_what_schema_2_says():
    manifest = Manifest.from_json(stored_manifest())
    for changes in ({"input": replace(manifest.input, filter="bicubic")}, {"original_sha256": "0" * 64}):
        with pytest.raises(ValueError, match="schema 1 has no words"):
            replace(manifest, **changes)


@pytest.mark.parametrize("field", ["tensors", "outputs", "class_ids", "frames_per_run", "original_sha256"])
def test_a_field_that_is_missing_is_named(field):
    stored = json.loads(own().to_json())
    del stored[field]
    with pytest.raises(BundleError, match=field):
        Manifest.from_json(json.dumps(stored).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shorter_side": 100}, "a shorter side of 100 pixels has no 224x224 to cut"),
        ({"shorter_side": 256, "crop": "stretch"}, "shorter_side goes with"),
        ({"dtype": "uint8"}, "takes pixels as they are"),
        ({"colour": "grey"}, "one value for each channel of grey: 1"),
        ({"filter": "sinc"}, "unknown filter 'sinc'"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        InputSpec(224, 224, **changes)


_FIELDS = ("tensors", "outputs", "class_ids", "classes", "frames_per_run", "original_sha256", "input")
_VALUES = [
    None,
    True,
    1.5,
    7,
    -1,
    "x",
    "",
    [],
    [1],
    [None],
    {},
    [{}],
    [{"name": "a"}],
    [{"name": "a", "shape": [1e9]}],
]


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("value", _VALUES, ids=repr)
def test_a_field_of_any_type_is_read_or_refused_by_the_one_typed_error(field, value):
    stored = {**json.loads(own().to_json()), field: value}
    try:
        read = Manifest.from_json(json.dumps(stored).encode())
    except BundleError:
        return
    assert json.loads(read.to_json())[field] == value


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_damaged_byte_of_the_golden_manifest_gives_a_manifest_or_the_one_typed_error(place, value):
    data = bytearray(stored_manifest(2))
    data[place % len(data)] = value
    try:
        read = Manifest.from_json(bytes(data))
    except BundleError:
        return
    assert Manifest.from_json(read.to_json()) == read
