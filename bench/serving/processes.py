"""Server processes under measurement: started, watched through /proc, ended."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from siftfunnel.bench.announced import announced
from siftfunnel.shared.children import python_module

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ServerProcess:
    """A running server.

    Attributes:
        address: HOST:PORT.
        pid: its process.
    """

    address: str
    pid: int

    def cpu_s(self) -> float:
        """Processor time of all its threads so far, user and system; counted in hundredths of a second."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    def resident_bytes(self) -> int:
        """Its resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(module: str, *arguments: str) -> Iterator[ServerProcess]:
    """`python -m module arguments`, which prints its address as JSON; ended afterwards.

    Raises:
        RuntimeError: it did not start.
    """
    with announced(python_module(module, *arguments)) as (_, told):
        yield ServerProcess(told["grpc"], told["pid"])


def cloud_server(
    bundle: Path, *, max_batch: int, model_core: int, loop_core: int
) -> AbstractContextManager[ServerProcess]:
    """A pinned cloud server; see `siftfunnel.bench.serving.server_process`."""
    return running(
        "siftfunnel.bench.serving.server_process",
        *("--bundle", str(bundle), "--max-batch", str(max_batch)),
        *("--model-core", str(model_core), "--loop-core", str(loop_core)),
    )
