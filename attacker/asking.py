"""Small questions over HTTP, past the environment's proxy: straight to an address that somebody named."""

import ssl
from collections.abc import Mapping
from functools import cache

import httpx

from siftfunnel.shared.showing import without_credentials

MAX_ANSWER_BYTES = 64 * 2**20


class AskError(RuntimeError):
    """No answer, or too long a one; the text says why, without credentials.

    Attributes:
        unreached: whether nobody was there to be asked.
    """

    def __init__(self, text: str, unreached: bool = False) -> None:
        super().__init__(without_credentials(text))
        self.unreached = unreached


@cache
def _trusted() -> ssl.SSLContext:
    """Kept, because reading all authorities takes far longer than a question, and questions come often."""
    return httpx.create_ssl_context(trust_env=False)


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
    # what is not compressed cannot grow
    plain = {"Accept-Encoding": "identity", **(headers or {})}
    told = bytearray()
    try:
        with (
            httpx.Client(verify=_trusted(), timeout=wait_s, trust_env=False, follow_redirects=True) as client,
            client.stream(method, url, content=body, headers=plain) as answer,
        ):
            for part in answer.iter_raw():
                told += part
                if len(told) > most_bytes:
                    raise AskError(f"an answer of more than {most_bytes} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        is_unreached = isinstance(error, httpx.ConnectError)
        raise AskError(str(error) or type(error).__name__, is_unreached) from None
    return answer.status_code, bytes(told)
