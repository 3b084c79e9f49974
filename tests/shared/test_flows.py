import dataclasses
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.flows import FlowError, FlowRecord, read_flow, write_flow

RECORD = FlowRecord(
    time_s=12.5,
    connection="10.0.0.2:50412",
    direction="up",
    method="/siftfunnel.v1.SplitInference/Stream",
    digest="ab" * 32,
    message=b"\x08\x01",
    wire_bytes=9,
)


def test_a_record_is_one_line_of_json():
    assert write_flow(RECORD) == (
        '{"time_s": 12.5, "connection": "10.0.0.2:50412", "direction": "up", '
        '"method": "/siftfunnel.v1.SplitInference/Stream", "digest": "' + "ab" * 32 + '", '
        '"message_b64": "CAE=", "wire_bytes": 9}\n'
    )


@given(
    time_s=st.floats(allow_nan=False, allow_infinity=False),
    connection=st.text(),
    direction=st.sampled_from(["up", "down"]),
    method=st.none() | st.text(),
    digest=st.none() | st.just("0" * 64),
    message=st.binary(),
    wire_bytes=st.integers(0, 2**40),
)
def test_every_record_is_read_back_as_it_was_written(**fields):
    record = FlowRecord(**fields)
    line = write_flow(record)
    assert line.count("\n") == 1
    assert read_flow(line) == record


def with_field(**fields) -> str:
    content = {**json.loads(write_flow(RECORD)), **fields}
    return json.dumps({key: value for key, value in content.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object, not a list"),
        ("[" * 100_000, "not valid JSON"),
        (with_field(time_s=...), "'time_s' is missing"),
        (with_field(time_s="1"), "'time_s' must be a number, not a text"),
        (with_field(time_s=True), "'time_s' must be a number, not true or false"),
        (with_field(time_s=10**400), "'time_s' must be finite"),
        (with_field(direction="left"), "direction must be 'up' or 'down', not 'left'"),
        (with_field(method=1), "'method' must be a text or null, not a number"),
        (with_field(digest="abc"), "digest must be 64 lower-case hex digits or null, not 'abc'"),
        (with_field(message_b64="*"), "'message_b64' is not base64"),
        (with_field(message_b64="ä"), "'message_b64' is not base64"),
        (with_field(wire_bytes=-1), r"'wire_bytes' must lie in \[0, "),
        (with_field(wire_bytes=1.5), "'wire_bytes' must be a whole number"),
    ],
)
def test_a_wrong_line_says_which_field_and_why(line, reason):
    with pytest.raises(FlowError, match=reason):
        read_flow(line)


def test_a_field_that_a_newer_writer_added_is_passed_over():
    assert read_flow(with_field(colour="red")) == RECORD


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(FlowError):
        assert isinstance(read_flow(text), FlowRecord)


def test_a_record_out_of_range_cannot_be_made():
    with pytest.raises(FlowError, match="time_s must be finite"):
        dataclasses.replace(RECORD, time_s=float("nan"))
    with pytest.raises(FlowError, match="wire_bytes must not be negative"):
        dataclasses.replace(RECORD, wire_bytes=-1)
