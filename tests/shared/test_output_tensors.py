"""Outputs in a reply: what is sent is what is read, and nothing that a server sends is trusted."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES, choice_as_text, read_choice
from siftfunnel.shared.output_tensors import add_tensor, choose, most_bytes, read_tensors
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec

GIVEN = (
    OutputSpec("logits", "logits", (3,)),
    OutputSpec("code", "embedding", (4,)),
    OutputSpec("boxes", "tensor", (None, 2), "float16"),
    OutputSpec("mask", "tensor", (2, None), "bool"),
)
TYPES = ("float32", "float16", "float64", "int64", "int32", "uint8", "bool")


def of(dtype):
    return arrays(dtype, array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=3))


@given(st.sampled_from(TYPES).flatmap(of))
def test_what_is_sent_is_what_is_read(array):
    output = OutputSpec("any", "tensor", (None,) * array.ndim, str(array.dtype))
    prediction = pb.Prediction()
    add_tensor(prediction, 0, array)
    read = read_tensors(prediction.outputs, (output,), (0,), MAX_OUTPUT_BYTES)["any"]
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()
    assert not read.flags.writeable


def test_values_are_little_endian_whatever_the_machine_and_the_array():
    prediction = pb.Prediction()
    add_tensor(prediction, 5, np.array([[1, 2], [3, 4]], ">i4").T)
    assert prediction.outputs[0] == pb.Tensor(
        output=5, shape=(2, 2), data=b"\1\0\0\0\3\0\0\0\2\0\0\0\4\0\0\0"
    )


def test_what_nobody_names_is_every_output_that_is_not_the_scores():
    assert choose(GIVEN, None) == (1, 2, 3)
    assert choose(GIVEN, ["boxes", "logits"]) == (2, 0)
    assert choose(GIVEN, []) == ()


def test_an_output_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        ValueError, match="no output 'poses' in this bundle; it has logits, code, boxes, mask"
    ):
        choose(GIVEN, ["poses"])
    with pytest.raises(ValueError, match="twice"):
        choose(GIVEN, ["code", "code"])


@given(st.lists(st.text(min_size=1)))
def test_any_names_travel_as_metadata(names):
    try:
        text = choice_as_text(names)
    except UnicodeEncodeError:  # half of a surrogate pair is no character, and no manifest can hold it
        return
    assert text.isascii()
    assert text.isprintable()
    assert read_choice(text) == names


def test_what_pictures_decide_may_take_all_there_is():
    assert most_bytes(GIVEN, (0, 1), 100) == 4 * (3 + 4)
    assert most_bytes(GIVEN, (0, 2), 100) == 100
    assert most_bytes(GIVEN, (0, 1), 8) == 8


def tensor(position, shape, data):
    return pb.Tensor(output=position, shape=shape, data=data)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([], "no output code, boxes"),
        ([tensor(1, [4], bytes(16))], "no output boxes"),
        ([tensor(0, [3], bytes(12))], "output 0, which was not asked for"),
        ([tensor(9, [3], bytes(12))], "output 9, which was not asked for"),
        ([tensor(1, [4], bytes(16))] * 2, "output code twice"),
        ([tensor(1, [5], bytes(20))], r"the bundle says float32 \(4,\)"),
        ([tensor(1, [4, 1], bytes(16))], r"the bundle says float32 \(4,\)"),
        ([tensor(1, [4], bytes(15))], "do not go together as float32"),
        ([tensor(2, [2**31, 2], b"")], "the bundle says float16"),
        ([tensor(2, [7, 2], bytes(400))], "outputs of 400 bytes, more than the 300 that are taken"),
    ],
)
def test_what_does_not_fit_the_manifest_is_refused(tensors, message):
    with pytest.raises(ValueError, match=message):
        read_tensors(tensors, GIVEN, (1, 2), 300)


def test_a_boolean_is_0_or_1():
    with pytest.raises(ValueError, match="no booleans"):
        read_tensors([tensor(3, [2, 1], b"\1\2")], GIVEN, (3,), 300)


TENSORS = st.builds(
    pb.Tensor,
    output=st.integers(0, 4) | st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(0, 4) | st.integers(0, 2**32 - 1), max_size=7),
    data=st.binary(max_size=40),
)


@given(st.lists(TENSORS, max_size=4), st.lists(st.integers(0, 3), unique=True, max_size=4))
def test_any_tensors_are_what_was_asked_for_or_an_error(tensors, positions):
    try:
        read = read_tensors(tensors, GIVEN, positions, 64)
    except ValueError:
        return
    assert list(read) == [GIVEN[position].name for position in positions]
    for position, array in zip(positions, read.values(), strict=True):
        assert GIVEN[position].fits(array.shape)
        assert array.dtype == GIVEN[position].dtype
    assert sum(array.nbytes for array in read.values()) <= 64


@given(st.binary(max_size=60))
def test_any_bytes_that_parse_are_tensors_or_an_error(data):
    try:
        tensors = pb.Prediction.FromString(data).outputs
        read_tensors(tensors, GIVEN, (2, 3), 64)
    except (DecodeError, ValueError):
        pass
