"""One table says what every gRPC status means to the device, one what shared code's errors become."""

import errno

import grpc
import pytest

from siftfunnel.edge_client import errors
from siftfunnel.edge_client.errors import (
    TRANSLATIONS,
    BundleMismatch,
    EdgeError,
    ServerRefused,
    ServerUnreachable,
    TlsFailure,
    at_the_boundary,
)
from siftfunnel.edge_client.producer import FAILURE_CODES
from siftfunnel.edge_client.status import STATUS, Remedy, status_error, suspects_a_frame


def test_every_status_of_grpc_is_in_the_table() -> None:
    assert set(STATUS) == {status.name for status in grpc.StatusCode}


@pytest.mark.parametrize("status", ["UNAVAILABLE", "CANCELLED", "OK", "ABORTED"])
def test_a_lost_connection_is_dialled_again(status: str) -> None:
    assert status_error(status, "gone", "server:1") is None
    assert not suspects_a_frame(status)


@pytest.mark.parametrize("status", ["INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN"])
def test_a_call_that_a_single_frame_may_have_ended_is_dialled_again_with_suspicion(status: str) -> None:
    assert status_error(status, "gone", "server:1") is None
    assert suspects_a_frame(status)


def test_another_bundle_ends_the_stream_with_the_servers_text() -> None:
    error = status_error("FAILED_PRECONDITION", "yours aa, mine bb", "server:1")
    assert isinstance(error, BundleMismatch)
    assert str(error) == "server:1 does not serve this device's bundle: yours aa, mine bb"


@pytest.mark.parametrize("status", ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"])
def test_a_refusal_ends_the_stream(status: str) -> None:
    error = status_error(status, "", "server:1")
    assert isinstance(error, ServerRefused)
    assert str(error) == f"server:1 refused the call with {status}: no reason given"


def test_an_invalid_argument_before_any_frame_is_the_calls_own_fault() -> None:
    assert isinstance(status_error("INVALID_ARGUMENT", "top-k", "server:1", opened=False), ServerRefused)
    assert status_error("INVALID_ARGUMENT", "frame", "server:1") is None


def test_a_failed_handshake_says_which_flags_to_look_at() -> None:
    said = "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate"
    error = status_error("UNAVAILABLE", said, "server:1", opened=False)
    assert isinstance(error, TlsFailure)
    assert "--tls-ca" in str(error)
    assert said in str(error)
    assert status_error("UNAVAILABLE", said, "server:1", opened=True) is None


def test_the_tree_in_the_docstring_names_every_exception() -> None:
    tree = errors.__doc__ or ""
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, EdgeError)
    ]
    assert len(classes) == 14
    assert all(f" {each.__name__} " in f"{tree.replace(chr(10), ' ')} " for each in classes)


def test_every_verdict_of_the_table_is_a_remedy_or_an_error_of_the_tree() -> None:
    assert all(
        isinstance(verdict, Remedy) or issubclass(verdict, (ServerRefused, ServerUnreachable))
        for verdict in STATUS.values()
    )


@pytest.mark.parametrize("lower", TRANSLATIONS)
def test_what_shared_code_raises_leaves_as_an_error_of_the_tree_and_stays_what_it_was(
    lower: type[Exception],
) -> None:
    with pytest.raises(lower, match="what was said") as told, at_the_boundary():
        raise lower("what was said")
    assert type(told.value) is TRANSLATIONS[lower]
    assert isinstance(told.value, EdgeError)


def test_an_error_of_the_tree_passes_the_boundary_as_it_is() -> None:
    error = errors.ImageError("no picture")
    with pytest.raises(errors.ImageError) as told, at_the_boundary():
        raise error
    assert told.value is error


def test_a_lack_of_descriptors_behind_another_error_is_told_as_what_it_is() -> None:
    def fail() -> None:
        try:
            raise OSError(errno.EMFILE, "Too many open files")
        except OSError as error:
            raise ValueError("does not decode") from error

    with pytest.raises(errors.DeviceExhausted, match="ulimit -n"), at_the_boundary():
        fail()


def test_everything_an_encoder_raises_has_its_code() -> None:
    assert {errors.ImageError, errors.CodecError, errors.ModelError} == set(FAILURE_CODES)
