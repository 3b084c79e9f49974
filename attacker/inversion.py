"""Inversion: from an intercepted feature tensor back to a picture.

The one seam that an attack must fill is `Reconstructor`. The live page uses a decoder network that was
trained beforehand on auxiliary pictures and exported to ONNX (`OnnxDecoder`); slower attacks, such as
white-box optimisation, live in the lab and are handed in from outside as objects with the same method.
"""

from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.bundle import Bundle, Inverter
from siftfunnel.shared.graphs import GraphError, open_session
from siftfunnel.shared.plain_words import how_to_invert

Features = NDArray[np.float32]
Images = NDArray[np.float32]


class Reconstructor(Protocol):
    """Anything that turns features into pictures."""

    def reconstruct(self, features_NCHW: Features) -> Images:
        """Pictures that the attacker believes were seen.

        Args:
            features_NCHW: float32, one decoded feature tensor per row.

        Returns:
            float32 NHWC in [0, 1], RGB, at the size of the model's input.
        """
        ...


class InversionError(RuntimeError):
    """A reconstructor that cannot be loaded or does not fit the bundle; the text says which and why."""


class OnnxDecoder:
    """A trained decoder, run by ONNX Runtime on one thread.

    One thread, without spinning, because the attacker shares the machine with whom it listens to: a sidecar
    that burns the cores would slow down what it measures.
    """

    def __init__(
        self, model: Path, feature_shape: tuple[int, int, int], image_shape: tuple[int, int]
    ) -> None:
        """Load the graph and check it once on a zero feature.

        Args:
            model: an ONNX file with input `feature` [N, C, h, w] and output `image` [N, 3, H, W] in [0, 1].
            feature_shape: channels, height, width of the bundle's feature.
            image_shape: height and width of the model's input.

        Raises:
            InversionError: the file does not load, or gives another shape.
        """
        try:
            self._session = open_session(model.read_bytes(), str(model))
        except (OSError, GraphError) as error:
            raise InversionError(f"{model} does not load as an ONNX decoder: {error}") from error
        self._feature_shape = feature_shape
        self._image_shape = (*image_shape, 3)
        self._check(model)

    def reconstruct(self, features_NCHW: Features) -> Images:
        """See `Reconstructor.reconstruct`; values are clipped to [0, 1]."""
        images_NCHW = cast(Images, self._session.run(["image"], {"feature": features_NCHW})[0])
        images_NHWC = np.ascontiguousarray(images_NCHW.transpose(0, 2, 3, 1), dtype=np.float32)
        return np.clip(np.nan_to_num(images_NHWC), 0.0, 1.0)

    def _check(self, model: Path) -> None:
        try:
            images = self.reconstruct(np.zeros((1, *self._feature_shape), np.float32))
        except Exception as error:
            raise InversionError(
                f"{model} does not take features of shape {self._feature_shape}: {error}"
            ) from error
        if images.shape[1:] != self._image_shape:
            raise InversionError(
                f"{model} gives pictures of {images.shape[1:]}, the bundle's input is {self._image_shape}"
            )


def load_decoder(inverter: Inverter, bundle: Bundle) -> OnnxDecoder:
    """The decoder of an inverter artefact, checked to belong to the bundle.

    Raises:
        InversionError: trained for another bundle, or its graph does not fit.
    """
    if inverter.bundle_digest != bundle.digest:
        raise InversionError(
            f"the inverter in {inverter.directory} was trained for bundle {inverter.bundle_digest[:12]}…, "
            f"not for {bundle.manifest.name} ({bundle.digest[:12]}…); train one with "
            f"`{how_to_invert(bundle.directory, bundle.name)}`"
        )
    manifest = bundle.manifest
    return OnnxDecoder(
        inverter.directory / "inverter.onnx",
        manifest.feature.shape,
        (manifest.input.height, manifest.input.width),
    )
