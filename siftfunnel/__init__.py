"""The product's face: console entry, demo, certificates and shipped assets; imports everyone lazily."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("siftfunnel")
except PackageNotFoundError:
    # A source tree on PYTHONPATH that was never installed, as in a container build stage.
    __version__ = "0+unknown"

__all__ = ["__version__"]
