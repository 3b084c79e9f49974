"""What is overheard on the wire: features after a bundle's codec."""

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.targets.layout import FeatureLayout
from siftfunnel.shared.wire import SealedCodec

CACHE_BYTES = 2_000_000_000


class ThroughCodec(nn.Module):
    """The bundle's stages and then the wire: what a victim's ``stage`` is when a codec is attacked.

    What was decoded once is kept: an inverter sees the same features in every epoch. No gradient passes.

    Args:
        codec: The bundle's.
        digest: The bundle's; with the codec's name it tells one victim from another.
        stage: The bundle's stages.
        layout: From the feature's own shape to the victim's maps.
        keep: Whether what was decoded is kept: not where noise or augmentation lets nothing come twice.
    """

    def __init__(
        self, codec: SealedCodec, digest: str, stage: Any, layout: FeatureLayout, *, keep: bool
    ) -> None:
        super().__init__()
        self._codec, self._digest, self._stage, self._layout = codec, digest, [stage], layout
        self._room_bytes = CACHE_BYTES if keep else 0
        self._kept: dict[bytes, NDArray[np.float32]] = {}

    def extra_repr(self) -> str:
        """What a fingerprint reads."""
        return f"{self._codec.name} of {self._digest}"

    @torch.no_grad()
    def forward(self, z_NCHW: Tensor) -> Tensor:
        """Decoded features of clean ones, on the same device."""
        own = self._layout.to_own(self._stage[0](z_NCHW)).detach().cpu().contiguous().numpy()
        decoded = np.stack([self._decoded(feature) for feature in own])
        return self._layout.to_maps(torch.from_numpy(decoded).to(z_NCHW.device))

    def _decoded(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        name = hashlib.blake2b(feature.tobytes(), digest_size=16).digest() if self._room_bytes > 0 else b""
        if name in self._kept:
            return self._kept[name]
        decoded = self._codec.decode(self._codec.encode(feature))
        if self._room_bytes > 0:
            self._kept[name] = decoded
            self._room_bytes -= decoded.nbytes
        return decoded
