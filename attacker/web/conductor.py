"""The demo's conductor, seen from the page: its state, and wishes, pictures and ends that it is asked for.

The page's server only forwards, so that the conductor need not be reachable from where the page is looked at;
what a wish may say is the conductor's business.
"""

import json
from typing import Any

import httpx

from siftfunnel.shared.showing import without_credentials

ANSWER_WAIT_S = 30.0
STATE_WAIT_S = 3.0


class ConductorError(RuntimeError):
    """The conductor does not answer, or not as one does."""


class Conductor:
    """A client of the conductor's control address."""

    def __init__(self, url: str) -> None:
        """`url` is the control address's root, such as http://127.0.0.1:9300."""
        self._url = url.rstrip("/")
        self._shown = without_credentials(self._url)
        self._http = httpx.AsyncClient(trust_env=False)

    async def state(self) -> dict[str, Any]:
        """What runs now and what could be chosen.

        Raises:
            ConductorError: no answer, or not a JSON object.
        """
        status, body = await self.forward("GET", "/state", wait_s=STATE_WAIT_S)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if status != 200 or not isinstance(value, dict):
            raise ConductorError(f"the conductor at {self._shown} did not tell its state (status {status})")
        return value

    async def forward(
        self, method: str, path: str, body: bytes = b"", content_type: str = "", wait_s: float = ANSWER_WAIT_S
    ) -> tuple[int, bytes]:
        """Ask the conductor what the page asked; its status and body as they are.

        Raises:
            ConductorError: it does not answer.
        """
        headers = {"Content-Type": content_type} if body else {}
        try:
            answer = await self._http.request(
                method, self._url + path, content=body, headers=headers, timeout=wait_s
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = without_credentials(str(error)) or type(error).__name__
            raise ConductorError(f"the conductor at {self._shown} does not answer: {reason}") from error
        return answer.status_code, answer.content

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()
