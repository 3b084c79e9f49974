"""The served set while it is served: bundles that are loaded, replaced and unloaded.

load:    find, verify, open, warm up, start the lane -> the catalogue has it -> one of its name before goes
unload:  the catalogue no longer has it -> its streams end with what they took answered -> its lane closes

Frames in flight are answered by the lane that took them. One change at a time.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from siftfunnel.cloud_server.catalogue import CLOUD_FILE, Catalogue, ServedBundle, open_bundle
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.service import SplitInferenceService
from siftfunnel.cloud_server.ticket import Owner
from siftfunnel.shared.bundle import MANIFEST, Bundle, BundleError, Problem, find_bundles

_log = logging.getLogger(__name__)

UNLOADED = "this server no longer serves the bundle; send what is unanswered to another, or ask Describe"

_POLL_S = 0.01
_CLOSE_S = 1.0
_WATCH_S = 0.5


class UnknownModelError(ValueError):
    """No bundle of that name is served, or lies in the model directories."""


class Repository:
    """Changes what a server serves.

    Args:
        catalogue: is changed.
        config: of the server; its model directories are what can be loaded.
        metrics: the server's.
        wake: as the lanes need it.
        service: whose streams end with their bundle.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        config: CloudConfig,
        metrics: Metrics,
        wake: Callable[[Iterable[Owner]], None],
        service: SplitInferenceService,
    ) -> None:
        self._catalogue, self._config, self._metrics = catalogue, config, metrics
        self._wake, self._service = wake, service
        self._one_change = asyncio.Lock()

    def served(self, label: str) -> ServedBundle | None:
        """The bundle that is served under a name."""
        return next((each for each in self._catalogue if each.label == label), None)

    async def names(self) -> list[str]:
        """Names of bundles in the model directories, served or not."""
        found = await asyncio.to_thread(_names, self._config.bundles)
        return sorted({*found, *(each.label for each in self._catalogue)})

    async def load(self, name: str) -> None:
        """Serve the bundle of a name as it lies in the model directories now.

        Raises:
            UnknownModelError: there is none.
            BundleError: it fails its checks; what was served under the name goes on.
        """
        async with self._one_change:
            bundle = await asyncio.to_thread(_find, self._config.bundles, name)
            before = self.served(name)
            if self._catalogue.get(bundle.digest) is not None:
                return
            served = await asyncio.to_thread(
                open_bundle, bundle, name, self._config, self._metrics, self._wake
            )
            served.lane.start()
            try:
                self._catalogue.add(served)
            except BundleError:
                await asyncio.to_thread(served.lane.close, _CLOSE_S)
                raise
            _log.info("serving %s, digest %s", name, bundle.digest)
            if before is not None:
                await self._retire(before)

    async def unload(self, name: str) -> None:
        """Serve a bundle no longer.

        Raises:
            UnknownModelError: it is not served.
        """
        async with self._one_change:
            served = self.served(name)
            if served is None:
                raise UnknownModelError(f"no bundle {name[:64]!r} is served")
            await self._retire(served)

    async def follow(self) -> None:
        """Serve what lies in the model directories, for ever.

        A change counts once the directories have rested for a moment. A bundle that fails its checks changes
        nothing; it is looked at again when the directories change again.
        """
        # what has changed since the catalogue was opened counts as well
        done = last = None
        while True:
            now = await asyncio.to_thread(_state, self._config.bundles)
            if now == last and now != done:
                done = now
                await self._follow_once()
            last = now
            await asyncio.sleep(_WATCH_S)

    async def _follow_once(self) -> None:
        lying = await asyncio.to_thread(_found, self._config.bundles)
        found = {each.name: each for each in lying if isinstance(each, Bundle)}
        known = {each.label: each.bundle for each in self._catalogue}
        for name, bundle in found.items():
            if name in known and known[name].digest == bundle.digest:
                continue
            try:
                await self.load(name)
            except ValueError as error:
                _log.error("%s is not served: %s", name, error)
        for problem in (each for each in lying if not isinstance(each, Bundle)):
            _log.error("not served: %s", problem.reason)
        for name in known.keys() - found.keys():
            # a damaged one is still there
            if not (known[name].directory / MANIFEST).exists():
                await self.unload(name)

    async def _retire(self, served: ServedBundle) -> None:
        self._catalogue.remove(served.bundle.digest)
        self._service.end_streams(served.lane, UNLOADED)
        deadline_s = time.monotonic() + self._config.drain_s
        while served.lane.owners and time.monotonic() < deadline_s:
            await asyncio.sleep(_POLL_S)
        await asyncio.to_thread(served.lane.close, _CLOSE_S)
        self._metrics.info.remove(served.label, served.bundle.digest)
        _log.info("no longer serving %s, digest %s", served.label, served.bundle.digest)


def _found(directories: Iterable[Path]) -> list[Bundle | Problem]:
    return [each for directory in directories for each in find_bundles(directory, need=(CLOUD_FILE,))]


def _bundles(directories: Iterable[Path]) -> list[Bundle]:
    return [each for each in _found(directories) if isinstance(each, Bundle)]


def _state(directories: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """Tells one state of the model directories from another, without reading a file."""
    states = []
    for path in sorted(each for directory in directories for each in directory.glob("**/*")):
        # it may be gone by now
        with contextlib.suppress(OSError):
            state = path.stat()
            states.append((str(path), state.st_ino, state.st_mtime_ns, state.st_size))
    return states


def _names(directories: Iterable[Path]) -> list[str]:
    return [bundle.name for bundle in _bundles(directories)]


def _find(directories: Iterable[Path], name: str) -> Bundle:
    for bundle in _bundles(directories):
        if bundle.name == name:
            return bundle
    raise UnknownModelError(f"no bundle {name[:64]!r} that passes its checks in the model directories")
