"""Who may do what: clients by name, what each shows to be known by, its rights and its limits.

    [anyone]                            # who shows nothing; left out, nobody is let in without a name
    rights = ["describe"]

    [clients.camera-1]
    token-sha256 = "9f86d081..."        # of its token: `siftfunnel token` makes both
    rights = ["describe", "infer"]
    frames-per-second = 300

    [clients.monitor]
    certificate = "monitor.example"     # the common name, or an alternative name, in its certificate
    rights = ["administer"]

Tokens are drawn at random with 256 bits, so that a plain hash keeps them: nobody guesses what it is of.
"""

import hashlib
import logging
import os
import re
import secrets
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from siftfunnel.shared.files import read_regular
from siftfunnel.shared.settings import check, setting

_log = logging.getLogger(__name__)

TOKEN_VARIABLE = "SIFTFUNNEL_TOKEN"
"""Environment variable with the one token of both ends, where there is no file of it."""

AUTHORIZATION_KEY, SCHEME = "authorization", "Bearer"
"""Call metadata, or HTTP's header, that carries a token (RFC 6750)."""

_TOKEN_BYTES = 32
_MOST_FILE_BYTES = 4 << 20
_MOST_TOKEN_BYTES = 512
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


class AccessError(ValueError):
    """A file of clients or a token that cannot be used; the text says what to do."""


class Right(StrEnum):
    """What a client may do."""

    DESCRIBE = "describe"  # ask what is served
    INFER = "infer"
    ADMINISTER = "administer"  # load and unload bundles, read metrics
    WATCH = "watch"  # the attacker's page


@dataclass(frozen=True)
class ClientLimits:
    """Most that one client may have open, under way and send.

    What is over a rate or a number of frames is read later, not refused.

    Raises:
        ValueError: a limit below 1.
    """

    calls: int = setting(
        256,
        "calls of one client, which is a name in --clients, else an address (IPv6: one /64; behind a proxy "
        "everybody's); the next one takes an idle stream's place or is refused",
        flag="--max-calls-per-client",
        least=1,
    )
    frames: int = setting(
        128,
        "unanswered frames of one client; its streams are read on once some are answered",
        flag="--max-frames-per-client",
        least=1,
    )
    frames_per_second: float | None = setting(
        None, "frames of one client (default: any number)", flag="--frames-per-second-per-client", least=1
    )
    bytes_per_second: float | None = setting(
        None, "payload of one client (default: any amount)", flag="--bytes-per-second-per-client", least=1
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Client:
    """Somebody who is known.

    Attributes:
        name: none of the clients' that is None, who has shown nothing.
        rights: what it may do.
        limits: those that are its own, by the name of `ClientLimits`' field.
    """

    name: str | None
    rights: frozenset[Right]
    limits: Mapping[str, float] = field(default_factory=dict)

    def limited(self, others: ClientLimits) -> ClientLimits:
        """Its limits, where it has none of its own those of the others."""
        return replace(others, **self.limits)  # type: ignore[arg-type]


EVERYBODY = Client(None, frozenset({Right.DESCRIBE, Right.INFER, Right.ADMINISTER, Right.WATCH}))
"""Who has shown nothing, where nobody has to."""


@dataclass(frozen=True)
class Clients:
    """Clients by what they show.

    Attributes:
        by_token: by the SHA-256 of its token, hexadecimal.
        by_certificate: by a name in its certificate.
        anyone: who has shown nothing.
    """

    by_token: Mapping[str, Client] = field(default_factory=dict)
    by_certificate: Mapping[str, Client] = field(default_factory=dict)
    anyone: Client = EVERYBODY

    def of_token(self, token: str) -> Client | None:
        """The client with this token."""
        return self.by_token.get(hash_of(token))

    def of_certificate(self, names: Iterable[str]) -> Client | None:
        """The client with one of these names in its certificate."""
        return next((self.by_certificate[name] for name in names if name in self.by_certificate), None)


OPEN = Clients()
"""Nobody has to show anything."""


def hash_of(token: str) -> str:
    """What is kept of a token.

    >>> hash_of("a token of some length")[:16]
    '5fa9a7a53b9b94d1'
    """
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """A token that nobody has."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def bearer(token: str) -> str:
    """A token as `AUTHORIZATION_KEY` carries it."""
    return f"{SCHEME} {token}"


def token_in(authorization: str) -> str | None:
    """The token that `AUTHORIZATION_KEY` carries; None for another scheme.

    >>> token_in("Bearer abc"), token_in("bearer  abc "), token_in("Basic abc")
    ('abc', 'abc', None)
    """
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == SCHEME.lower() else None


def shared_secret(token: str) -> Clients:
    """Only who has this token is served, with every right but to administer."""
    client = Client("token", frozenset({Right.DESCRIBE, Right.INFER}))
    return Clients({hash_of(token): client}, anyone=Client(None, frozenset()))


def read_token(path: Path | None) -> str | None:
    """The token in a file, else in `TOKEN_VARIABLE`, else None: a command line can be read by everybody.

    Raises:
        AccessError: the file cannot be read, or holds no token.
    """
    where = f"--token-file {path}" if path is not None else f"the variable {TOKEN_VARIABLE}"
    if path is None:
        text = os.environ.get(TOKEN_VARIABLE, "")
        if not text:
            return None
    else:
        text = _text(path, _MOST_TOKEN_BYTES, "--token-file")
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise AccessError(
            f"{where} holds no token: 16 to 256 of the characters A-Z a-z 0-9 - . _ ~ + / = "
            "(`siftfunnel token` makes one)"
        )
    return token


class ClientsFile:
    """A file of clients that is read again when it has changed.

    Attributes:
        clients: as they were when the file was right last.

    Raises:
        AccessError: it cannot be read, or says something that makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = _version(path)
        self.clients = read_clients(path)

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether the clients have.

        A file that is wrong is told in the log, and the clients stay as they were.
        """
        version = _version(self._path)
        if version == self._version:
            return False
        self._version = version
        try:
            self.clients = read_clients(self._path)
        except AccessError as error:
            _log.error("the changed file of clients is not used: %s", error)
            return False
        _log.info("%s has been read again", self._path)
        return True


@dataclass(frozen=True)
class FixedClients:
    """Clients that are not in a file and never change."""

    clients: Clients

    def refresh(self) -> bool:
        """See `ClientsFile`."""
        return False


def known_clients(path: Path | None, token: str | None) -> ClientsFile | FixedClients:
    """Who may do what: as a file tells, else who shows one token, else everybody everything.

    Raises:
        AccessError: the file cannot be used.
    """
    if path is not None:
        return ClientsFile(path)
    return FixedClients(OPEN if token is None else shared_secret(token))


def read_clients(path: Path) -> Clients:
    """The clients in a file.

    Raises:
        AccessError: it cannot be read, or says something that makes no sense.
    """
    try:
        told = tomllib.loads(_text(path, _MOST_FILE_BYTES, "--clients"))
        return parse_clients(told)
    except tomllib.TOMLDecodeError as error:
        raise AccessError(f"--clients {path} is not TOML: {error}") from None
    except ValueError as error:
        raise AccessError(f"--clients {path}: {error}") from None


def parse_clients(told: Mapping[str, Any]) -> Clients:
    """The clients that a TOML file tells.

    Raises:
        ValueError: a key, a name or a value that makes no sense, or two clients that show the same.
    """
    _only(told, ("anyone", "clients"), "the file")
    nobody = Client(None, frozenset())
    anyone = _client(None, told["anyone"], "[anyone]") if "anyone" in told else nobody
    by_token: dict[str, Client] = {}
    by_certificate: dict[str, Client] = {}
    for name, about in _table(told.get("clients", {}), "clients").items():
        where = f"[clients.{name}]"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: a name begins with a letter and has 1 to 64 of A-Z a-z 0-9 . _ -")
        client = _client(name, about, where)
        hashes, names = _texts(about, "token-sha256", where), _texts(about, "certificate", where)
        if not hashes and not names:
            raise ValueError(f"{where} needs token-sha256 or certificate: what it is known by")
        for one in hashes:
            if not _HASH.fullmatch(one):
                raise ValueError(f"{where}: token-sha256 takes 64 hexadecimal digits in lower case")
        for known, ours in ((by_token, hashes), (by_certificate, names)):
            for one in ours:
                if one in known:
                    raise ValueError(f"{where} and [clients.{known[one].name}] show the same")
                known[one] = client
    return Clients(by_token, by_certificate, anyone)


_LIMITS = {each.name.replace("_", "-"): each.name for each in fields(ClientLimits)}


def _client(name: str | None, told: object, where: str) -> Client:
    about = _table(told, where)
    shown = () if name is None else ("token-sha256", "certificate")
    _only(about, ("rights", *shown, *_LIMITS), where)
    rights = _texts(about, "rights", where)
    if unknown := sorted(set(rights) - set(Right)):
        raise ValueError(f"{where}: no right {unknown[0]!r}; there are {', '.join(Right)}")
    limits = {field: about[key] for key, field in _LIMITS.items() if key in about}
    client = Client(name, frozenset(map(Right, rights)), limits)
    try:
        client.limited(ClientLimits())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
    return client


def _table(told: object, where: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise ValueError(f"{where} must be a table")
    return told


def _texts(about: Mapping[str, Any], key: str, where: str) -> list[str]:
    told = about.get(key, [])
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: {key} takes a text, or a list of texts")
    return texts


def _only(told: Mapping[str, Any], keys: Collection[str], where: str) -> None:
    if unknown := sorted(set(told) - set(keys)):
        raise ValueError(f"{where} has no key {unknown[0]!r}; there are {', '.join(keys)}")


def _text(path: Path, most_bytes: int, flag: str) -> str:
    try:
        return read_regular(path, most_bytes).decode()
    except (OSError, ValueError) as error:
        raise AccessError(f"{flag} {path} cannot be read: {error}") from None


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns, state.st_size
