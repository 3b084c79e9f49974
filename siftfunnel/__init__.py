"""The product's face: console entry, demo, certificates and shipped assets; imports everyone lazily."""

from shared.version import __version__

__all__ = ["__version__"]
