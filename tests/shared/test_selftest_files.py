"""Arrays in a zip file that nobody vouches for: read within bounds or refused."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.manifest import BundleError
from siftfunnel.shared.selftest_files import Form, arrays_from_bytes, arrays_to_bytes, limit_bytes

FORMS = {"a": Form("float32", (1, 3, 4)), "b": Form("int64", (1, None), 100)}
ARRAYS: dict[str, np.ndarray] = {
    "a": np.arange(12, dtype=np.float32).reshape(1, 3, 4),
    "b": np.arange(7)[None],
}
GOOD = arrays_to_bytes(ARRAYS)


def archive(entries, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def test_what_is_written_is_read():
    read = arrays_from_bytes(GOOD, FORMS, "x.npz")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_the_order_of_values_in_memory_does_not_matter():
    turned = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    read = arrays_from_bytes(arrays_to_bytes({"a": turned[None]}), {"a": FORMS["a"]}, "x.npz")
    np.testing.assert_array_equal(read["a"][0], turned)


def test_what_cannot_be_shortened_stays_within_the_limit():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, 500_000), dtype=np.uint8)
    assert len(arrays_to_bytes({"n": noise})) <= limit_bytes({"n": Form("uint8", (1, 500_000))})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a.npy", npy(ARRAYS["a"]))], r"holds \['a.npy'\], not \['a', 'b'\]"),
        ([("a.npy", npy(ARRAYS["a"])), ("b.npy", npy(ARRAYS["b"])), ("c.npy", b"")], "holds"),
        ([("a.npy", npy(ARRAYS["a"])), ("b.npy", npy(np.zeros((1, 101), np.int64)))], "unpacks to|is int64"),
        ([("a.npy", npy(ARRAYS["a"].astype(np.float64))), ("b.npy", npy(ARRAYS["b"]))], "is float64"),
        ([("a.npy", npy(ARRAYS["a"][:, :2])), ("b.npy", npy(ARRAYS["b"]))], r"is float32 \(1, 2, 4\)"),
        ([("a.npy", npy(ARRAYS["a"])[:-4]), ("b.npy", npy(ARRAYS["b"]))], "44 bytes of values"),
        ([("a.npy", npy(ARRAYS["a"]) + b"more"), ("b.npy", npy(ARRAYS["b"]))], "52 bytes of values"),
        ([("a.npy", b"junk"), ("b.npy", npy(ARRAYS["b"]))], "does not read"),
    ],
)
def test_anything_else_is_refused_and_named(entries, message):
    with pytest.raises(BundleError, match=f"x.npz: .*({message})"):
        arrays_from_bytes(archive(entries), FORMS, "x.npz")


def test_a_zip_bomb_is_not_unpacked():
    forms = {**FORMS, "a": Form("uint8", (1, 2**20))}
    bomb = archive([("a.npy", b"\0" * 2**26), ("b.npy", npy(ARRAYS["b"]))], compresslevel=9)
    assert len(bomb) < limit_bytes(forms)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="unpacks to 67108864 bytes, its array needs at most"):
            arrays_from_bytes(bomb, forms, "x.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_header_that_claims_more_than_there_is_allocates_nothing():
    huge = npy(ARRAYS["b"]).replace(b"(1, 7), ", b"(1, 99),")
    with pytest.raises(BundleError, match="56 bytes of values"):
        arrays_from_bytes(archive([("a.npy", npy(ARRAYS["a"])), ("b.npy", huge)]), FORMS, "x.npz")


def test_an_array_of_objects_is_refused_by_its_header():
    objects = npy(ARRAYS["a"]).replace(b"'<f4'", b"'|O' ")
    with pytest.raises(BundleError, match=r"a\.npy is object"):
        arrays_from_bytes(archive([("a.npy", objects), ("b.npy", npy(ARRAYS["b"]))]), FORMS, "x.npz")


def read_or_refused(data):
    """The arrays, or None where they are refused by the one typed error."""
    try:
        return arrays_from_bytes(data, FORMS, "x.npz")
    except BundleError:
        return None


@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_damaged_byte_gives_the_arrays_or_one_typed_error(place, value):
    data = bytearray(GOOD)
    data[place] = value
    for name, array in (read_or_refused(bytes(data)) or {}).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


@given(junk=st.binary(max_size=400), cut=st.integers(0, len(GOOD) - 1))
def test_junk_and_a_torn_file_are_refused(junk, cut):
    assert read_or_refused(junk) is None
    assert read_or_refused(GOOD[:cut]) is None
    for name, array in (read_or_refused(junk + GOOD) or {}).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
