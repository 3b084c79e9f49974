"""How far two drawn pictures are apart."""

import numpy as np

from siftfunnel.lab.faces.sets import Pictures


def difference(first_HWC: Pictures, second_HWC: Pictures) -> float:
    """Mean absolute difference in grey levels; 0.0 for equal ones."""
    return float(np.abs(first_HWC.astype(np.int16) - second_HWC.astype(np.int16)).mean())
