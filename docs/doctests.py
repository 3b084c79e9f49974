"""For MkDocs: examples in docstrings that begin with `>>>` become code, wherever they stand."""

import re
import textwrap
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*\n?(?:\1.*\S.*\n?)*", re.MULTILINE)


def _fenced(found: re.Match[str]) -> str:
    code = textwrap.dedent(found[0]).rstrip()
    return textwrap.indent(f"```pycon\n{code}\n```", found[1]) + "\n"


class Doctests(griffe.Extension):
    """Puts fences around examples before the docstring is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = _EXAMPLE.sub(_fenced, obj.docstring.value)
