"""Processor cores: which ones server and client get, and who runs on them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def two_cores(server: int | None = None, client: int | None = None) -> tuple[int, int]:
    """Cores for servers and for clients: the ones named, else the first that are free.

    Raises:
        ValueError: not Linux, a core that this process may not use, or one core for both sides.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise ValueError("servers and clients are pinned to cores, which only Linux offers")
    usable = sorted(os.sched_getaffinity(0))
    told = f"this process may use {', '.join(map(str, usable))}"
    if server is not None and server == client:
        raise ValueError(f"servers and clients would share core {server}; name two ({told})")
    free = [core for core in usable if core not in (server, client)]
    chosen = []
    for core in (server, client):
        if core is not None and core not in usable:
            raise ValueError(f"no core {core} for this process; {told}")
        if core is None and not free:
            raise ValueError(f"servers and clients need a core each; {told}")
        chosen.append(free.pop(0) if core is None else core)
    return chosen[0], chosen[1]


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This thread, and what it starts meanwhile, on one core; nothing changes for None."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_whole_process(core: int) -> None:
    """Every thread that this process has now on one core."""
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
