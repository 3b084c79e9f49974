"""What a bundle's device sends of pictures, and an inverter's network for it: any input, any tensors.

pixels --graph, stages--> feature, packed --codec, where the bundle's codecs protect--> what is overheard
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.audit.edges import OnnxHalf
from siftfunnel.lab.audit.layout import FeatureLayout
from siftfunnel.lab.audit.lifting import find_lift, maps_of
from siftfunnel.lab.export.graph_input import graph_input
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder, cropped, doublings_between
from siftfunnel.shared.bundle import CLOUD, EDGE, Bundle
from siftfunnel.shared.manifest import Manifest
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.stages import make_stages
from siftfunnel.shared.wire import SealedCodec, codec_by_name, make_codecs

BATCH = 20


def layout_of(manifest: Manifest) -> FeatureLayout:
    """From the feature as it is packed to maps; a tensor keeps its own axes, such as tokens."""
    image = (manifest.input.height, manifest.input.width)
    shapes = tuple(tensor.shape for tensor in manifest.sent)
    return FeatureLayout(manifest.feature.shape, image, shapes)


def several_tensors(manifest: Manifest) -> Any:
    """The tensors between the halves where they are packed; none where there is one."""
    return manifest.sent if len(manifest.sent) > 1 else ()


class Device:
    """A bundle's edge half as the device runs it, with fresh noise at every call.

    Raises:
        EdgeError: its graph does not load.
        StageError: a stage that is not known, or parameters that make no sense.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._manifest = bundle.manifest
        tensors = several_tensors(bundle.manifest)
        self._graph = OnnxHalf(bundle.path(EDGE), takes_pictures=True, tensors=tensors)
        self._stages = make_stages(bundle.manifest.edge_stages)

    def of_pixels(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features N x ``manifest.feature.shape`` of pictures of the input's size."""
        parts = range(0, len(images_NHWC), BATCH)
        spec = self._manifest.input
        return np.concatenate(
            [self._sent(normalise(images_NHWC[start : start + BATCH], spec)) for start in parts]
        )

    def of_floats(self, x_NHWC: Tensor) -> NDArray[np.float32]:
        """The same of pictures in [0, 1]."""
        x_NCHW = x_NHWC.permute(0, 3, 1, 2)
        parts = torch.split(x_NCHW, BATCH)
        return np.concatenate([self._sent(graph_input(part, self._manifest.input).numpy()) for part in parts])

    def _sent(self, values: NDArray[Any]) -> NDArray[np.float32]:
        features = self._graph(values).reshape(-1, *self._manifest.feature.shape)
        for stage in self._stages:
            features = stage(features)
        return features


def wire_of(bundle: Bundle) -> SealedCodec | None:
    """The codec after which the bundle's features are inverted; None where a device may send them whole.

    Codecs of schema 2 are a part of what protects: an inverter for features before them would not know what
    arrives.
    """
    if bundle.manifest.schema_version == 1:
        return None
    return codec_by_name(make_codecs(bundle.manifest, bundle.digest), bundle.manifest.default_codec)


def arrived(codec: SealedCodec | None, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features as they are decoded."""
    if codec is None:
        return features
    return np.stack([codec.decode(codec.encode(np.ascontiguousarray(feature))) for feature in features])


@dataclass(frozen=True)
class Opening:
    """What an inverter does first with a feature, without learning anything.

    Attributes:
        module: Feature as it is packed to maps; None where it is maps.
        maps: Channels, height, width of the maps.
        says: What is known of the cloud half, or None.
    """

    module: nn.Module | None
    maps: tuple[int, int, int]
    says: str | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """The maps."""
        if self.module is None:
            return features
        with torch.no_grad():
            made: Tensor = self.module(features)
        return made


def opening_of(bundle: Bundle) -> Opening:
    """Maps of all tensors, or what the cloud half's first layers make of them where they spread them out."""
    layout = layout_of(bundle.manifest)
    modules: list[nn.Module] = [] if layout.is_identity else [maps_of(layout)]
    lift = None
    if CLOUD in bundle.manifest.files and (bundle.directory / CLOUD).is_file():
        bundle.read(CLOUD)
        cloud = onnx.load(str(bundle.path(CLOUD)))
        lift = find_lift(cloud, bundle.manifest.sent, layout, torch.device("cpu"))
    if lift is None:
        return Opening(nn.Sequential(*modules) if modules else None, layout.maps)
    return Opening(nn.Sequential(*modules, lift.module), lift.shape, lift.says)


def build_inverter(
    bundle: Bundle, opening: Opening, features: Tensor, settings: DecoderSettings
) -> nn.Sequential:
    """The untrained decoder for a bundle, from its packed feature to a picture of its input's size."""
    image = (bundle.manifest.input.height, bundle.manifest.input.width)
    maps = opening(features)
    grid = (opening.maps[1], opening.maps[2])
    decoder = build_decoder(
        maps.mean(dim=(0, 2, 3)),
        maps.std(dim=(0, 2, 3)),
        settings,
        doublings_between(image, grid),
        is_point=grid == (1, 1),
    )
    whole = cropped(decoder, image, grid)
    if opening.module is None:
        return whole if isinstance(whole, nn.Sequential) else nn.Sequential(whole)
    return nn.Sequential(opening.module, whole)
