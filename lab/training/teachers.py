"""Soft labels: what trained bundles say of the training pictures, as a further target for a smaller one.

A picture's label says one thing of it; the mean of what several networks answer says how sure one can be.
Distillation goes back to Hinton et al., arXiv 1503.02531. Answers are taken of the picture and of its mirror
image, so that they fit either.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.data.images import DataError, ImageSet
from siftfunnel.lab.device import DeviceModel
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.preprocess import normalise

BATCH = 250


def soft_labels(places: Sequence[Path], images: ImageSet) -> Tensor:
    """Mean class probabilities N x K of some bundles, each asked about every picture and its mirror image.

    Raises:
        DataError: no bundle, or one of other classes or another input size than the pictures have.
        BundleError: a directory that holds no bundle.
    """
    if not places:
        raise DataError("soft labels need one teacher or more")
    every = [_probabilities(load_bundle(place), images) for place in places]
    return torch.from_numpy(np.mean(every, axis=0, dtype=np.float32))


def _probabilities(teacher: Bundle, images: ImageSet) -> NDArray[np.float32]:
    manifest = teacher.manifest
    if tuple(manifest.classes) != tuple(images.classes):
        raise DataError(f"teacher {manifest.name} answers other classes than these pictures have")
    size = (manifest.input.height, manifest.input.width)
    if images.images_NHWC.shape[1:3] != size:
        raise DataError(
            f"teacher {manifest.name} takes {size[0]}x{size[1]} pictures, these are "
            f"{images.images_NHWC.shape[1]}x{images.images_NHWC.shape[2]}"
        )
    edge = DeviceModel(teacher.path("edge.onnx"), manifest.edge_stages)
    cloud = Runner(teacher.path("cloud.onnx"))
    parts = []
    for start in range(0, len(images), BATCH):
        pictures = images.images_NHWC[start : start + BATCH]
        both = [
            cloud.first(edge(normalise(np.ascontiguousarray(seen), manifest.input)))
            for seen in (pictures, pictures[:, :, ::-1])
        ]
        shares = torch.from_numpy(np.stack(both)).softmax(dim=2)
        parts.append(shares.mean(dim=0).numpy())
    return np.concatenate(parts)
