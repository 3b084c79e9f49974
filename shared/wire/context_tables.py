"""The static tables of a codec that chooses them by context, as its manifest entry says them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENT = 255
MAX_TABLES = 84
"""So few that a byte numbers those of levels, of masks and two more."""


@dataclass(frozen=True, eq=False)
class ContextTables:
    """What the manifest entry of a lattice or signed codec says of its tables.

    Attributes:
        flags: uint8, (channels,): the table of the symbol that says whether a channel is sent, 0 or 1; 255
            for a channel that never is.
        kinds: intp, (channels,): the row of `choices` of each channel.
        choices: uint8, (kinds, phases, places, classes), of a signed codec (kinds, activities, classes): the
            table of each level of a channel that is sent.
        counts: uint16, (tables, symbols), checked by `siftfunnel.shared.wire.tables`.
        most_bytes: the ceiling of a payload.

    Raises:
        ValueError: a table that there is none of, no channel that is sent.
    """

    flags: NDArray[np.uint8]
    kinds: NDArray[np.intp]
    choices: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    most_bytes: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.counts) <= MAX_TABLES:
            raise ValueError(f"a lattice codec has 1 to {MAX_TABLES} tables, not {len(self.counts)}")
        sent = self.flags != SILENT
        if not sent.any():
            raise ValueError("flags leave every channel silent")
        if self.kinds.max() >= len(self.choices):
            raise ValueError(f"kinds name kind {self.kinds.max()}; there are {len(self.choices)}")
        for name, tables in (("flags", self.flags[sent]), ("choices", self.choices[self.kinds[sent]])):
            if tables.max() >= len(self.counts):
                raise ValueError(f"{name} name table {tables.max()}; there are {len(self.counts)}")

    @property
    def symbols(self) -> int:
        """How many symbols a table has."""
        return int(self.counts.shape[1])

    @property
    def sent(self) -> NDArray[np.intp]:
        """The channels that are ever sent, those whose flags have one table side by side."""
        sent = np.flatnonzero(self.flags != SILENT)
        return sent[np.argsort(self.flags[sent], kind="stable")]
