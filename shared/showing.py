"""Names of places as they may be shown: without credentials, and without characters that steer a terminal.

And counts as people say them.
"""

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


def counted(count: int, what: str) -> str:
    """A count with its noun, whose plural takes an s.

    >>> counted(1, "picture"), counted(2, "file")
    ('1 picture', '2 files')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
