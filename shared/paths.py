"""Paths that callers may give as text."""

from pathlib import Path
from typing import overload


class OptionalPath:
    """A field of a dataclass that takes a path, a text or None, and is a Path or None; its default is None.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Files:
        ...     ca: OptionalPath = OptionalPath()
        >>> Files("ca.pem").ca, Files().ca
        (PosixPath('ca.pem'), None)
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> None: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Path | None: ...

    def __get__(self, instance: object | None, owner: type) -> Path | None:
        path: Path | None = None if instance is None else instance.__dict__[self._name]
        return path

    def __set__(self, instance: object, value: str | Path | None) -> None:
        instance.__dict__[self._name] = None if value is None else Path(value)
