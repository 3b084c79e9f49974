"""`--output npz:DIR`: the outputs of each answer as a file of numpy."""

import zipfile
from pathlib import Path

import numpy as np

from siftfunnel.edge_client.outcome import Answer, Outcome
from siftfunnel.shared.files import naming


class Archive:
    """Writes `BUNDLE-SEQUENCE.npz` for each answer, an array for each output by its name.

    `numpy.load(file, allow_pickle=False)` reads them. Answers without outputs, and other outcomes, have none.

    Args:
        place: a folder; made if need be.

    Raises:
        ValueError: it holds such files of an earlier run, which would be mixed with this one's.
        OSError: it cannot be made.
    """

    for_people = False

    def __init__(self, place: str) -> None:
        self._folder = Path(place)
        with naming(place):
            self._folder.mkdir(parents=True, exist_ok=True)
        if next(self._folder.glob("*.npz"), None) is not None:
            raise ValueError(f"--output npz:{place}: holds outputs of an earlier run; name another folder")

    def write(self, outcome: Outcome) -> None:
        """See `Output`."""
        if not isinstance(outcome, Answer) or not outcome.outputs:
            return
        path = self._folder / f"{outcome.bundle}-{outcome.sequence:08}.npz"
        with naming(str(path)), zipfile.ZipFile(path, "w") as archive:
            for name, array in outcome.outputs.items():
                # numpy's own savez takes names as arguments, and some names are taken
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    def close(self) -> None:
        """See `Output`."""
