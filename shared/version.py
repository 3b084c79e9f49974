"""The version of the distribution that this code belongs to."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("siftfunnel")
except PackageNotFoundError:
    # a source tree on PYTHONPATH that was never installed, as in a container build stage
    __version__ = "0+unknown"
