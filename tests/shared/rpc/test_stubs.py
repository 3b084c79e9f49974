"""The committed stubs are those of the `.proto`, and what is on the wire never changes its number."""

import pytest

from siftfunnel.shared.rpc import generate
from siftfunnel.shared.rpc import split_inference_pb2 as pb


def test_generating_again_changes_nothing(capsys):
    pytest.importorskip("grpc_tools")
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_stale_stub_is_named(capsys, monkeypatch):
    monkeypatch.setattr(generate, "generate", lambda: {"split_inference_pb2.py": "# other\n"})
    assert generate.main(["--check"]) == 1
    assert "shared/rpc/split_inference_pb2.py is stale: run" in capsys.readouterr().err


def test_a_place_without_proto_sources_says_so(capsys, monkeypatch, tmp_path):
    pytest.importorskip("grpc_tools")
    monkeypatch.setattr(generate, "PROTO_ROOT", tmp_path)
    assert generate.main(["--check"]) == 2
    assert "run this in a checkout" in capsys.readouterr().err


def numbers(message) -> dict[str, int]:
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (pb.Frame, {"sequence": 1, "codec": 2, "payload": 3, "budget_ms": 4, "padding": 5}),
        (pb.Reply, {"sequence": 1, "prediction": 2, "error": 3, "checksum": 4, "padding": 5}),
        (pb.SerialisedReplies, {"replies": 1}),
        (pb.Frames, {"frames": 1}),
        (pb.Replies, {"replies": 1}),
        (pb.Prediction, {"class_index": 1, "score": 2, "timings": 3, "outputs": 4}),
        (pb.Tensor, {"output": 1, "shape": 2, "data": 3}),
        (pb.Timings, {"queue_us": 1, "decode_us": 2, "compute_us": 3, "batch_size": 4}),
        (pb.FrameError, {"code": 1, "message": 2, "retry_after_ms": 3}),
        (pb.DescribeRequest, {}),
        (
            pb.DescribeReply,
            {
                "bundles": 1,
                "server_version": 2,
                "max_message_bytes": 3,
                "window": 4,
                "max_output_bytes": 5,
            },
        ),
        (pb.TensorDescription, {"name": 1, "shape": 2}),
        (pb.OutputDescription, {"name": 1, "kind": 2, "shape": 3, "dtype": 4}),
        (
            pb.BundleDescription,
            {
                "name": 1,
                "digest": 2,
                "classes": 3,
                "codecs": 4,
                "feature_shape": 5,
                "default": 6,
                "default_codec": 7,
                "class_ids": 8,
                "tensors": 9,
                "outputs": 10,
                "batch_invariant": 11,
            },
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_fields_keep_their_numbers(message, fields):
    assert numbers(message) == fields


def test_error_codes_keep_their_numbers():
    assert dict(pb.FrameError.Code.items()) == {
        "UNSPECIFIED": 0,
        "INVALID_PAYLOAD": 1,
        "UNKNOWN_CODEC": 2,
        "RESOURCE_EXHAUSTED": 3,
        "BUDGET_EXCEEDED": 4,
        "UNAVAILABLE": 5,
        "INTERNAL": 6,
        "OUTPUTS_TOO_LARGE": 7,
    }


def test_the_service_has_its_four_calls():
    service = pb.DESCRIPTOR.services_by_name["SplitInference"]
    assert service.full_name == "siftfunnel.v1.SplitInference"
    assert [method.name for method in service.methods] == ["Describe", "Infer", "Stream", "StreamBatches"]


def test_a_budget_of_zero_is_told_apart_from_none():
    assert not pb.Frame().HasField("budget_ms")
    assert pb.Frame.FromString(pb.Frame(budget_ms=0).SerializeToString()).HasField("budget_ms")


def test_a_reply_holds_one_outcome_only():
    reply = pb.Reply(prediction=pb.Prediction(class_index=[1]))
    reply.error.message = "late"
    assert reply.WhichOneof("outcome") == "error"
