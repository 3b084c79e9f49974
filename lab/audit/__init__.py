"""The audit: one command that attacks a trained network or bundle and reports what leaked.

| module | what it does |
| --- | --- |
| ``budgets``, ``plan`` | how much is attacked and measured; which attacks run on a target |
| ``subject`` | what the user asks for, and the data cut into parts |
| ``measures``, ``judging``, ``equal_bytes`` | accuracy, bytes, information; a picture codec at those bytes |
| ``risks``, ``lengths``, ``curve`` | risks to persons; what lengths tell; the attacker's data |
| ``verdict`` | in words, by rules from the numbers |
| ``gallery`` | the pictures that the report shows, which ``lab.reports`` writes |
| ``audit``, ``cli``, ``python`` | the order of steps, the command, and the same in three lines of Python |

What is attacked becomes a victim in ``lab.targets``; attacks, checks and the folder's steps are those of
``lab.evaluation``. The package itself can be called:

    from siftfunnel.lab import audit
    report = audit(module_or_onnx, pictures)
    report.show()
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package, which can also be called: ``audit(module_or_onnx, pictures)``."""

    def __call__(self, edge: Any, pictures: Any, **more: Any) -> Any:
        """See ``siftfunnel.lab.audit.python.audit_of``; PyTorch is imported now."""
        from siftfunnel.lab.audit.python import audit_of

        return audit_of(edge, pictures, **more)


sys.modules[__name__].__class__ = _Callable
