import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.bundle import BundleError, CodecSpec, EdgeStage, FeatureSpec, FileEntry, Manifest
from siftfunnel.shared.manifest import MAX_MANIFEST_BYTES
from tests.shared.golden import golden_manifest, stored_manifest


def changed(**fields) -> bytes:
    """The golden manifest with top-level fields replaced; `...` removes one."""
    content = {**json.loads(stored_manifest()), **fields}
    return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()


def nested(field: str, **inner) -> bytes:
    """The golden manifest with fields of one of its objects replaced."""
    content = {**json.loads(stored_manifest())[field], **inner}
    return changed(**{field: {key: value for key, value in content.items() if value is not ...}})


def codec(**inner) -> bytes:
    """The golden manifest with its first codec changed."""
    first, *others = json.loads(stored_manifest())["codecs"]
    first = {key: value for key, value in {**first, **inner}.items() if value is not ...}
    return changed(codecs=[first, *others])


TEXTS = ("name", "architecture", "defence", "split_point", "label_kind", "default_codec")
FIELDS = (*TEXTS, "schema_version", "input", "feature", "classes", "edge_stages", "codecs", "files")


def test_every_manifest_is_read_back_as_it_was_written():
    assert Manifest.from_json(golden_manifest().to_json()) == golden_manifest()


@given(
    scale=st.floats(allow_nan=False, allow_infinity=False),
    mean=st.tuples(*[st.floats(-1e6, 1e6)] * 3),
    classes=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, unique=True),
)
def test_numbers_and_names_survive_to_the_last_bit(scale, mean, classes):
    manifest = dataclasses.replace(
        golden_manifest(),
        input=dataclasses.replace(golden_manifest().input, mean=mean),
        classes=tuple(classes),
        edge_stages=(EdgeStage("noise", {"scale": scale}),),
    )
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_equal_manifests_have_equal_bytes_whatever_the_order_of_files():
    files = golden_manifest().files
    reordered = dataclasses.replace(golden_manifest(), files=dict(reversed(list(files.items()))))
    assert reordered.to_json() == golden_manifest().to_json()


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(name):
    with pytest.raises(BundleError, match=f"^manifest.json: field '{name}' is missing"):
        Manifest.from_json(changed(**{name: ...}))


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, True, 1.5, 7, "x", "", [], [1], {}, {"x": 1}], ids=repr)
def test_a_field_of_any_type_is_taken_as_it_stands_or_named_in_a_bundle_error(name, value):
    data = changed(**{name: value})
    reason = refusal(data)
    assert name in reason if reason else json.loads(Manifest.from_json(data).to_json())[name] == value


def refusal(data: bytes) -> str:
    try:
        Manifest.from_json(data)
    except BundleError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("value", "kind"), [(7, "a number"), ("", "an empty text"), (None, "null")])
def test_a_text_must_be_a_text(name, value, kind):
    with pytest.raises(BundleError, match=f"field '{name}' must be a non-empty text, not {kind}"):
        Manifest.from_json(changed(**{name: value}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            changed(schema_version=3),
            r"'schema_version' is 3, this siftfunnel reads up to 2: update it, or export",
        ),
        (changed(schema_version=0), r"'schema_version' must lie in \[1, "),
        (changed(schema_version=True), "'schema_version' must be a whole number, not true or false"),
        (changed(name="../up"), r"name must be letters, digits, '.', '_' or '-', not '../up'"),
        (changed(label_kind="face"), "unknown label_kind 'face'; known: category, identity"),
        (changed(default_codec="q7"), "default_codec 'q7' is not one of fp32, fp16, int8, q8, q4"),
        (changed(classes=["a"]), "classes must be at least 2, not 1"),
        (changed(classes=["a", "a"]), "classes must be non-empty texts, each once"),
        (changed(classes=["a", 1]), "'classes' must be a list of non-empty texts"),
        (changed(codecs=[]), "codecs must be at least 1, not 0"),
        (changed(codecs=json.loads(stored_manifest())["codecs"] * 2), "codecs must be non-empty texts, each"),
        (changed(codecs=["fp32"]), "'codecs' must be a list of objects"),
        (changed(edge_stages=[{"kind": "x"}]), r"edge_stages\[0\]: field 'parameters' is missing"),
        (changed(surprise=1), "field 'surprise' is unknown; a newer version"),
        (changed(files={"../x": {"sha256": "0" * 64, "size_bytes": 1}}), "files: '../x' cannot name a file"),
        (changed(files={"report.json": {"sha256": "0" * 64, "size_bytes": 1}}), "'report.json' cannot name"),
        (changed(files={"x": {"sha256": "0", "size_bytes": 1}}), "sha256 must be 64 lower-case hex digits"),
        (
            changed(files={"x": {"sha256": "0" * 64, "size_bytes": -1}}),
            "files: x: field 'size_bytes' must lie",
        ),
        (changed(files={"x": {"sha256": "0" * 64}}), "files: x: field 'size_bytes' is missing"),
        (changed(files={"x": 1}), "files: field 'x' must be an object, not a number"),
        (nested("input", height=0), r"input: field 'height' must lie in \[1, 4096\], not 0"),
        (nested("input", width=4097), r"input: field 'width' must lie in \[1, 4096\], not 4097"),
        (nested("input", width=32.0), "input: field 'width' must be a whole number, not a number"),
        (nested("input", mean=[0, 0]), "input: field 'mean' must list 3 numbers, not 2"),
        (nested("input", mean=[0, 0, "0"]), "input: field 'mean' must be a number, not a text"),
        (nested("input", mean=[0, 0, 10**400]), "input: field 'mean' must be finite"),
        (nested("input", std=[1, 1, 0]), "std finite and above 0"),
        (nested("input", crop="left"), "unknown crop rule 'left'; known: centre, stretch"),
        (nested("input", crop=...), "input: field 'crop' is missing"),
        (nested("input", gamma=1), "input: field 'gamma' is unknown"),
        (nested("feature", channels=0), "feature: field 'channels' must lie in"),
        (nested("feature", channels=2**20, height=2**20), "a feature needs 1 to 16777216 values"),
        (nested("feature", width="4"), "feature: field 'width' must be a whole number, not a text"),
        (codec(kind="zip"), "unknown codec kind 'zip'; known: float, affine, table"),
        (codec(name="a b"), "a codec's name must be letters"),
        (codec(parameters=[]), r"codecs\[0\]: field 'parameters' must be an object, not a list"),
        (codec(more=1), r"codecs\[0\]: field 'more' is unknown"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "expected a JSON object, not a list"),
        (b'{"name": NaN}', "NaN is not a JSON number"),
        (b'{"name": 1, "name": 2}', "key 'name' appears twice"),
        (b"[" * 100_000, "not valid JSON"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "16777217 bytes, more than 16777216"),
    ],
)
def test_each_wrong_field_is_named(data, message):
    with pytest.raises(BundleError, match=message) as caught:
        Manifest.from_json(data)
    assert str(caught.value).startswith("manifest.json: ")


@given(st.binary(max_size=200))
def test_random_bytes_are_no_manifest(data):
    with pytest.raises(BundleError):
        Manifest.from_json(data)


@pytest.mark.parametrize("cut", range(0, 3000, 97))
def test_a_truncated_manifest_is_refused(cut):
    with pytest.raises(BundleError):
        Manifest.from_json(stored_manifest()[:cut])


def test_a_feature_knows_its_shape_and_size():
    assert FeatureSpec(12, 8, 8).shape == (12, 8, 8)
    assert FeatureSpec(12, 8, 8).size == 768


def test_values_are_checked_when_made_in_code_too():
    with pytest.raises(ValueError, match="unknown codec kind"):
        CodecSpec("x", "zip")
    with pytest.raises(ValueError, match="sha256"):
        FileEntry("x", 1)
    with pytest.raises(ValueError, match="a feature needs"):
        FeatureSpec(0, 1, 1)
