"""The device's own way of a picture: preprocessing, ONNX Runtime, edge stages, codec.

A picture counts as sending some bytes only if it does so here, as 8-bit pixels and alone, as on the device.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.targets.edges import OnnxHalf
from siftfunnel.lab.targets.target import Target
from siftfunnel.shared.bundle import EDGE, Bundle
from siftfunnel.shared.manifest import CodecSpec, EdgeStage
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.stages import make_stages
from siftfunnel.shared.wire import codec_by_name, make_codecs
from siftfunnel.shared.wire.context_tables import SILENT

Pixels = NDArray[np.uint8]


class Sender:
    """What a bundle's device sends of 8-bit pictures.

    Args:
        bundle: With its edge half.
        codec: Name of the codec.

    Raises:
        CodecError: the bundle has no such codec.
        EdgeError: an edge half that does not run.
    """

    def __init__(self, bundle: Bundle, codec: str) -> None:
        manifest = bundle.manifest
        several = manifest.sent if len(manifest.sent) > 1 else ()
        self._half = OnnxHalf(bundle.path(EDGE), takes_pictures=True, tensors=several)
        self._stages = make_stages(manifest.edge_stages)
        self._input, self._shape = manifest.input, manifest.feature.shape
        self.codec = codec_by_name(make_codecs(manifest, bundle.digest), codec)
        self.spec = manifest.codecs[self.codec.index]

    def features(self, pixels_NHWC: Pixels) -> NDArray[np.float32]:
        """Clean features, N x C x h x w as codecs take them."""
        made = self._half(normalise(np.ascontiguousarray(pixels_NHWC), self._input))
        return np.ascontiguousarray(made.reshape(len(pixels_NHWC), *self._shape))

    def payloads(self, pixels_NHWC: Pixels) -> list[bytes]:
        """What crosses the wire, each picture sent alone."""
        found = []
        for place in range(len(pixels_NHWC)):
            z = self.features(pixels_NHWC[place : place + 1])
            for stage in self._stages:
                z = stage(z)
            found.append(self.codec.encode(np.ascontiguousarray(z[0])))
        return found

    def arrived(self, payloads: Sequence[bytes]) -> NDArray[np.float32]:
        """The features that whoever listens decodes."""
        return np.stack([self.codec.decode(payload) for payload in payloads])


@dataclass(frozen=True)
class Cells:
    """Between which values a feature must lie to be sent as it was; infinite where an end saturates."""

    low_NCHW: Tensor
    high_NCHW: Tensor
    steps_C: Tensor

    @classmethod
    def of(cls, spec: CodecSpec, arrived_NCHW: NDArray[np.float32]) -> "Cells | str":
        """The cells of decoded features, or why the codec has none that pictures could be searched for in."""
        told = spec.parameters
        if spec.kind == "float":
            return (
                f"codec {spec.name} sends the values themselves: equal bytes need equal values, bit for bit"
            )
        if spec.kind == "packed":
            return f"codec {spec.name} packs several tensors, whose cells are not searched here"
        lowest, highest, never = -np.inf, np.inf, np.zeros(arrived_NCHW.shape[1], dtype=bool)
        steps: Any = told.get("step")
        if spec.kind in ("table", "lattice"):
            steps = np.frombuffer(base64.b64decode(told["steps"]), "<f4")[:, None, None]
        if spec.kind == "lattice":
            zero: Any = 0
            never = np.frombuffer(base64.b64decode(told["flags"]), "u1") == SILENT
        elif spec.kind == "table":
            zero = np.frombuffer(base64.b64decode(told["zero_levels"]), "u1")[:, None, None].astype(int)
        else:
            zero = told.get("zero_level", 0)
        if spec.kind != "signed":
            lowest, highest = -zero * steps, (told.get("levels", 256) - 1 - zero) * steps
        is_low, is_high = arrived_NCHW <= lowest + steps / 4, arrived_NCHW >= highest - steps / 4
        low = np.where(is_low, -np.inf, arrived_NCHW - steps / 2)
        high = np.where(is_high, np.inf, arrived_NCHW + steps / 2)
        low[:, never], high[:, never] = -np.inf, np.inf
        widths = np.broadcast_to(np.ravel(steps).astype(np.float32), arrived_NCHW.shape[1:2])
        return cls(*(torch.from_numpy(np.array(each, dtype=np.float32)) for each in (low, high, widths)))

    def misses(self, z_NCHW: Tensor, margin: float = 0.0) -> Tensor:
        """How far values lie outside of their cells, shrunk by a margin, in steps; N x C x h x w."""
        steps = self.steps_C[:, None, None]
        below = (self.low_NCHW - z_NCHW) / steps + margin
        above = (z_NCHW - self.high_NCHW) / steps + margin
        return below.clamp_min(0) + above.clamp_min(0)


@dataclass(frozen=True)
class Noise:
    """What leaves the device with Gaussian noise on every value.

    Attributes:
        deviations_CHW: Of the noise.
        note: What is left out of the count, which only weakens what is proved; empty where nothing is.
    """

    deviations_CHW: Tensor
    note: str = ""


def noise_of(stages: Sequence[EdgeStage], shape: tuple[int, int, int], *, noisy_edge: bool) -> Noise | str:
    """The Gaussian noise of a bundle, or why no bound can be had of its noise.

    Args:
        stages: Of the manifest.
        shape: Of the feature.
        noisy_edge: Whether the graph draws noise of its own.

    Returns:
        Noise, or a reason; the empty text where there is no noise at all.
    """
    if noisy_edge:
        return "the edge half's graph draws noise of its own, whose distribution nobody states"
    variances = torch.zeros(shape)
    kinds = [stage.kind for stage in stages]
    for stage in stages:
        if stage.kind == "gaussian-noise":
            variances = variances + float(stage.parameters["sigma"]) ** 2
        elif stage.kind == "channel-gaussian-noise":
            sigmas = torch.tensor([float(sigma) for sigma in stage.parameters["sigmas"]])
            variances = variances + sigmas.square()[:, None, None]
    if not kinds:
        return ""
    silent = (variances.flatten(1) == 0).all(1).nonzero().flatten().tolist()
    if len(silent) == shape[0]:
        return (
            f"{', '.join(kinds)} lets every value through exactly or not at all: that bounds neither Fisher "
            "information nor information of real values; only the bytes bound it"
        )
    if silent:
        return f"channels {', '.join(map(str, silent))} leave without noise, so what they say has no bound"
    rest = [kind for kind in kinds if kind not in ("gaussian-noise", "channel-gaussian-noise")]
    note = f"{', '.join(rest)} is not counted, which can only weaken the bound" if rest else ""
    return Noise(variances.sqrt(), note)


def own_features(target: Target, shape: tuple[int, int, int]) -> Callable[[Tensor], Tensor]:
    """Pictures in [0, 1] to clean features as codecs take them, on the CPU; differentiable."""

    def features(x_NCHW: Tensor) -> Tensor:
        victim = target.sender
        own = target.layout.to_own(victim.features(x_NCHW.to(victim.device))).cpu()
        return own.reshape(len(own), *shape)

    return features
