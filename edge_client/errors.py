"""What can go wrong at the device's boundary.

    EdgeError
    ├── BundleError             the bundle is not there, has changed or cannot be used    (shared.bundle)
    ├── ModelError              the edge half, or one of its stages, cannot be used
    ├── SourceError             the place the pictures come from cannot be used
    ├── ImageError              a picture does not decode                                 (shared.preprocess)
    ├── CodecError              no such codec, or a feature that cannot be encoded        (shared.wire)
    ├── DeviceExhausted         the device has no file descriptor left
    ├── SourceLost              a camera or stream stopped and did not come back
    ├── ServerUnreachable       nobody answers at the address, or not any more
    │   └── TlsFailure          somebody answers, but no trusted connection comes about
    ├── ServerRefused           the server answers and will not serve this client
    │   └── BundleMismatch      it serves another bundle than this device carries
    ├── OutputError             an answer does not have the output that is asked of it
    └── FrameFailed             `classify` got a `FrameFailure` for its picture

Where a module stands behind a name, the error is also the one of that module, which code below the boundary
raises: `TRANSLATIONS` has them. A setting that makes no sense is a ValueError, as are certificate files that
cannot be used (`siftfunnel.shared.tls.TlsError`); something that is no picture at all is a TypeError.
"""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from siftfunnel.shared import manifest, preprocess
from siftfunnel.shared.wire import errors as wire_errors

if TYPE_CHECKING:
    from siftfunnel.edge_client.outcome import FrameFailure


class EdgeError(Exception):
    """Anything the device's client raises about itself or its server."""


class BundleError(EdgeError, manifest.BundleError):
    """A bundle that is not there, has changed, or cannot be used."""


class ModelError(EdgeError):
    """The edge half does not load, does not fit its manifest, or fails on a tensor."""


class SourceError(EdgeError, ValueError):
    """A directory, video, camera or list of paths that gives no pictures."""


class ImageError(EdgeError, preprocess.ImageError):
    """A picture that does not decode; the text names it and says why."""


class CodecError(EdgeError, wire_errors.CodecError):
    """A codec that the bundle does not have, or a feature that it cannot encode."""


class DeviceExhausted(EdgeError):
    """The device has no file descriptor left, so that neither pictures nor connections can be opened."""


class SourceLost(EdgeError):
    """A camera or network stream that gave pictures, stopped, and did not come back in time."""


class ServerUnreachable(EdgeError):
    """No connection to the server within the connect timeout."""


class TlsFailure(ServerUnreachable):
    """No trusted connection comes about; the text holds what TLS said and what to do."""


class ServerRefused(EdgeError):
    """The server turns the call down for a reason that trying again does not change."""


class BundleMismatch(ServerRefused):
    """Device and server carry different bundles; the text holds both digests."""


class OutputError(EdgeError, KeyError):
    """An answer that does not have the output, or the classes, that are asked of it."""

    __str__ = Exception.__str__


class FrameFailed(EdgeError):
    """The picture handed to `classify` ended in an error.

    Attributes:
        failure: the outcome, with its code and message.
    """

    def __init__(self, failure: "FrameFailure") -> None:
        super().__init__(f"{failure.source}: {failure.code}, {failure.message}")
        self.failure = failure


TRANSLATIONS: Mapping[type[Exception], type[EdgeError]] = MappingProxyType(
    {
        manifest.BundleError: BundleError,
        preprocess.ImageError: ImageError,
        wire_errors.CodecError: CodecError,
    }
)
"""What shared code raises -> what the client makes of it."""

NO_DESCRIPTORS = "this device has no file descriptor left; close what it does not need, or raise `ulimit -n`"
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


@contextmanager
def at_the_boundary() -> Iterator[None]:
    """While inside, what shared code raises leaves as the client's own error, with the same text.

    Raises:
        DeviceExhausted: instead of whatever else, where a lack of file descriptors is behind it.
        EdgeError: as `TRANSLATIONS` says.
    """
    try:
        yield
    except Exception as error:
        if _is_exhaustion(error):
            raise DeviceExhausted(f"{NO_DESCRIPTORS} ({error})") from error
        for kind, own in TRANSLATIONS.items():
            if isinstance(error, kind) and not isinstance(error, EdgeError):
                raise own(str(error)) from error
        raise


def _is_exhaustion(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            return True
        error = error.__cause__
    return False
