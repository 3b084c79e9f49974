"""What is shown to people: names without credentials or characters that steer a terminal, and counts."""

import re

_USERINFO = re.compile(r"(?:(?<=://)|(?<=\A//))[^/?#\s]*@")
# cameras take them in the query, some in the path
_SECRET = re.compile(r"(?i)\b(\w*(?:pass|passwd|password|pwd|token|secret|apikey|api_key))=[^&#\s]*")


def without_credentials(text: str) -> str:
    """A text with the user, password and keys taken out of the addresses in it.

    >>> without_credentials("rtsp://admin:geheim@10.0.0.7/live?token=abc&channel=1")
    'rtsp://***@10.0.0.7/live?token=***&channel=1'
    """
    return _SECRET.sub(r"\1=***", _USERINFO.sub("***@", text))


def printable(text: str) -> str:
    r"""A text in one line that any terminal survives; what has no printed form is escaped.

    File names may hold line ends, escape sequences and bytes that are no UTF-8.

    >>> printable("a\nb\x1b[2J\udcff")
    'a\\nb\\x1b[2J\\udcff'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def counted(count: int, thing: str) -> str:
    """A number of things, with the noun's plural where it is not one.

    >>> counted(1, "picture"), counted(0, "frame")
    ('1 picture', '0 frames')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def figure(value: float | None, form: str = ".1f", unit: str = "") -> str:
    """A number for people, or a dash.

    >>> figure(0.5, ".0%"), figure(None)
    ('50%', '-')
    """
    return "-" if value is None else f"{value:{form}}{unit}"
