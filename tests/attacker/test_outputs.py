import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.gallery import Gallery
from siftfunnel.attacker.outputs import MAX_SHOWN, outputs_of, outputs_view
from siftfunnel.attacker.preview import Truth
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.output_tensors import add_tensor
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import OutputSpec

DIGEST = "ab" * 32
GIVEN = (
    OutputSpec("embedding", "embedding", (4,)),
    OutputSpec("boxes", "tensor", (None, 4)),
    OutputSpec("scores", "tensor", (None,)),
    OutputSpec("heat", "tensor", (1, 8, 8), "float16"),
)
ARRAYS = (
    np.arange(4, dtype=np.float32),
    np.asarray([[0, 0, 16, 16], [0, 0, 8, 8]], np.float32),
    np.asarray([0.9, 0.1], np.float32),
    np.linspace(-1, 1, 64).reshape(1, 8, 8).astype(np.float16),
)


def prediction(*positions: int) -> pb.Prediction:
    made = pb.Prediction()
    for position in positions:
        add_tensor(made, position, ARRAYS[position])
    return made


def view(outputs, given=GIVEN, truth=None):
    told = outputs_view(outputs, given, (32, 32), DIGEST, truth, Gallery())
    json.dumps(told, allow_nan=False)
    return told


def test_each_kind_of_output_is_told_in_its_own_way() -> None:
    outputs = outputs_of(prediction(0, 1, 2, 3).outputs, GIVEN)
    assert outputs is not None
    truth = Truth(DIGEST, 1, 0.0, None, np.zeros((32, 32, 3), np.uint8), 0)
    embedding, boxes, scores, heat = view(outputs, truth=truth)
    assert embedding == {
        "name": "embedding",
        "shape": [4],
        "kind": "embedding",
        "known": 0,
        "nearest": [],
    }
    assert boxes["kind"] == "boxes"
    assert boxes["boxes"] == [{"at": [0.0, 0.0, 0.5, 0.5], "score": 0.9, "kind": None}]
    assert (scores["range"], scores["first"], scores["picture"]) == ([0.1, 0.9], [0.9, 0.1], None)
    assert (heat["range"], heat["shape"]) == ([-1.0, 1.0], [1, 8, 8])
    assert heat["picture"].startswith("data:image/png")


def test_only_what_was_sent_is_read() -> None:
    outputs = outputs_of(prediction(2).outputs, GIVEN)
    assert outputs is not None
    assert list(outputs) == ["scores"]
    assert outputs_of([], GIVEN) == {}


@pytest.mark.parametrize(
    "tensor",
    [
        pb.Tensor(output=9, shape=[4], data=bytes(16)),
        pb.Tensor(output=0, shape=[5], data=bytes(20)),
        pb.Tensor(output=0, shape=[4], data=bytes(15)),
        pb.Tensor(output=1, shape=[2**31, 4], data=b""),
        pb.Tensor(output=2, shape=[MAX_OUTPUT_BYTES], data=bytes(4 * MAX_OUTPUT_BYTES)),
    ],
)
def test_a_reply_that_is_not_what_the_bundle_says_has_no_outputs(tensor: pb.Tensor) -> None:
    assert outputs_of([tensor], GIVEN) is None


def test_of_many_outputs_a_page_is_told_some() -> None:
    given_many = tuple(OutputSpec(f"t{place}", "tensor", (2,)) for place in range(60))
    outputs = {spec.name: np.zeros(2, np.float32) for spec in given_many}
    assert len(view(outputs, given_many)) == MAX_SHOWN


tensors = st.builds(
    pb.Tensor,
    output=st.integers(0, 5),
    shape=st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)), max_size=8),
    data=st.binary(max_size=300),
)
whole = st.builds(
    lambda rows, data: pb.Tensor(output=1, shape=[rows, 4], data=(data * 200)[: 16 * rows]),
    st.integers(0, 12),
    st.binary(min_size=1, max_size=16),
)


@given(st.lists(st.one_of(tensors, whole), max_size=4))
def test_anything_that_anybody_sends_is_shown_or_passed_over(sent: list[pb.Tensor]) -> None:
    outputs = outputs_of(sent, GIVEN)
    if outputs is not None:
        with np.errstate(all="ignore"):
            assert len(view(outputs)) <= len(sent)
