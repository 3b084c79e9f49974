"""The shipped drawn faces, and an untrained unprotected edge of the paper's size to attack."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import siftfunnel
from siftfunnel.lab.attacks.victim import Victim, victim_of_network
from siftfunnel.lab.networks.registry import build_network

FOLDER = Path(siftfunnel.__file__).parent / "assets" / "images" / "drawnfaces"
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def drawn_faces() -> Tensor:
    """All shipped portraits, N x 64 x 64 x 3, in a fixed random order."""
    paths = sorted(FOLDER.glob("*/*.png"))
    pictures = torch.from_numpy(np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]))
    return pictures[torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))]


def untrained_victim(width: int) -> Victim:
    """The unprotected CNN at 64x64, as initialised."""
    torch.manual_seed(0)
    network = build_network("cnn-unprotected", width=width, input_size=64, num_classes=10)
    return victim_of_network(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        mean=MEAN,
        std=STD,
        device=torch.device("cpu"),
    )
