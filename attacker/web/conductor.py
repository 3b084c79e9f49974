"""The demo's conductor, seen from the page: its state, and wishes for another bundle, codec or TLS.

The page's server only forwards, so that the conductor need not be reachable from where the page is looked at.
"""

from typing import Any

import httpx

ANSWER_WAIT_S = 30.0
ALLOWED = {"bundle": str, "codec": str, "tls": bool}


class ConductorError(RuntimeError):
    """The conductor did not answer, or refused; `status` is the HTTP status to pass on."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Conductor:
    """A client of the conductor's control address."""

    def __init__(self, url: str) -> None:
        """`url` is the control address's root, such as http://127.0.0.1:9300."""
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(timeout=ANSWER_WAIT_S, trust_env=False)

    async def state(self) -> dict[str, Any]:
        """What runs now and what could be chosen.

        Raises:
            ConductorError: no answer, or not a JSON object.
        """
        return await self._ask("GET", "/state", None)

    async def switch(self, wish: Any) -> dict[str, Any]:
        """Ask for another bundle, codec or TLS; the answer is the conductor's.

        Raises:
            ConductorError: the wish is not one, the conductor refused it, or did not answer.
        """
        return await self._ask("POST", "/switch", check_wish(wish))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, self._url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ConductorError(502, f"the conductor at {self._url} does not answer: {reason}") from error
        try:
            value = answer.json()
        except ValueError:
            value = None
        if answer.is_error:
            told = value.get("error") or value.get("detail") if isinstance(value, dict) else answer.text[:300]
            raise ConductorError(answer.status_code, f"the conductor refused: {told}")
        if not isinstance(value, dict):
            raise ConductorError(502, f"the conductor at {self._url} did not answer with a JSON object")
        return value


def check_wish(wish: Any) -> dict[str, Any]:
    """A wish with nothing in it but what a conductor understands.

    Raises:
        ConductorError: status 422, naming the field.

    >>> check_wish({"codec": "q6"})
    {'codec': 'q6'}
    """
    if not isinstance(wish, dict) or not wish:
        raise ConductorError(422, f"expected a JSON object with one or more of {', '.join(ALLOWED)}")
    for name, value in wish.items():
        if name not in ALLOWED:
            raise ConductorError(422, f"unknown field {name!r}; known: {', '.join(ALLOWED)}")
        if not isinstance(value, ALLOWED[name]):
            raise ConductorError(422, f"{name} must be of type {ALLOWED[name].__name__}")
    return wish
