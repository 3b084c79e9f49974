"""The compiled part of the codecs (``native.c``), where there was a compiler when the project was installed.

Whatever it does NumPy does too, and makes the same bytes: `native` is None where it was not built.
"""

from importlib import import_module
from types import ModuleType

REVISION = 1
"""Of ``native.c``; what was built from another one is not used."""


def _load() -> ModuleType | None:
    try:
        module = import_module("siftfunnel.shared.wire.native")
    except ImportError:
        return None
    return module if module.REVISION == REVISION else None


native = _load()
