"""Small questions over HTTP, past the environment's proxy: straight to an address that somebody named."""

import base64
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from siftfunnel.shared.showing import without_credentials

MAX_ANSWER_BYTES = 64 * 2**20

_STRAIGHT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class AskError(RuntimeError):
    """No answer, or too long a one; the text says why, without credentials.

    Attributes:
        unreached: whether nobody was there to be asked.
    """

    def __init__(self, text: str, unreached: bool = False) -> None:
        super().__init__(without_credentials(text))
        self.unreached = unreached


def ask(
    url: str,
    wait_s: float,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most_bytes: int = MAX_ANSWER_BYTES,
) -> tuple[int, bytes]:
    """The status and the body of an answer, whatever the status is.

    Args:
        url: what is asked for; user and password in it are sent as such.
        wait_s: how long nothing may come.
        method: of HTTP.
        body: is sent along.
        headers: likewise.
        most_bytes: longest answer that is taken.

    Raises:
        AskError: see there.
    """
    try:
        parts = urlsplit(url)
        sender, _, place = parts.netloc.rpartition("@")
        request = urllib.request.Request(
            parts._replace(netloc=place).geturl(), body or None, dict(headers or {}), method=method
        )
        if sender:
            token = base64.b64encode(unquote(sender).encode()).decode("ascii")
            request.add_unredirected_header("Authorization", f"Basic {token}")
        try:
            answer = _STRAIGHT.open(request, timeout=wait_s)
        except HTTPError as error:
            answer = error
        with answer:
            told = answer.read(most_bytes + 1)
            status = int(answer.status)
    except URLError as error:
        raise AskError(str(error.reason) or type(error).__name__, unreached=True) from None
    except (OSError, HTTPException, ValueError) as error:
        raise AskError(str(error) or type(error).__name__) from None
    if len(told) > most_bytes:
        raise AskError(f"an answer of more than {most_bytes} bytes")
    return status, told
