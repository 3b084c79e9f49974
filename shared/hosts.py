"""Whether a browser's request may be answered: by which name it calls this machine, and which site sent it.

Any page on the web can point a name of its own at 127.0.0.1 (DNS rebinding) or post to an address that it may
not read. A server of private pictures, or one that takes orders, answers only requests that name it as its
owner does, and takes orders only from its own pages.
"""

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

TOKEN_VARIABLE = "SIFTFUNNEL_PAGE_TOKEN"
"""Environment variable that hands the attacker's page its token; a command line can be read by everybody."""

PREVIEW_TOKEN_VARIABLE = "SIFTFUNNEL_PREVIEW_TOKEN"
"""Likewise the edge's preview."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")


def is_host_name(text: str) -> bool:
    """Whether a text is a host's name without a port, as `names` below holds them.

    >>> is_host_name("demo.local"), is_host_name("demo.local:8080")
    (True, False)
    """
    return _host(text) == text.lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on a host.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def names_this_machine(host: str | None, names: Collection[str] = (), addresses: bool = False) -> bool:
    """Whether a Host header means this machine for certain: by a loopback name, or by one that was allowed.

    Args:
        host: the header, with or without a port; None where there is none.
        names: further names, in lower case.
        addresses: allow every IP address too, for a server that other machines may reach: a browser sends an
            address only where the person went to that address, whatever DNS says.

    >>> names_this_machine("127.0.0.1:9300"), names_this_machine("evil.example")
    (True, False)
    """
    name = _host(host)
    if name is None:
        return False
    return name in names or is_loopback(name) or (addresses and _is_address(name))


def is_own_origin(origin: str | None, host: str | None, names: Collection[str] = ()) -> bool:
    """Whether what a browser says of a request's sender is the site that is asked; None: no browser's script.

    Args:
        origin: the Origin header.
        host: the Host header, already found to be this machine.
        names: names that a proxy in front may have replaced in `host`.

    >>> is_own_origin("http://127.0.0.1:8080", "127.0.0.1:8080"), is_own_origin("null", "127.0.0.1:8080")
    (True, False)
    """
    if origin is None:
        return True
    try:
        sender = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(sender) and (sender == (host or "").lower() or _host(sender) in names)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host(authority: str | None) -> str | None:
    found = _AUTHORITY.fullmatch(authority or "")
    return (found[1] or found[2]).lower() if found else None
