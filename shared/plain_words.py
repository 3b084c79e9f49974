"""What networks and codecs are called where somebody who does not know them looks on."""

import math
import shlex
from pathlib import Path

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.manifest import CodecSpec, Manifest

TITLES = {
    "none": "Ordinary network",
    "siftfunnel": "SiftFunnel",
    "siftfunnel-rate": "SiftFunnel, trained for its rate",
}
_TENSORS_TOLD = 3
_WHAT_IS_DONE = {
    "none": "Nothing was done to hide the picture in them.",
    "siftfunnel": "They were trained to hold what the answer needs and little else of the picture.",
    "siftfunnel-rate": "They were trained to hold what the answer needs, in as few bits as possible.",
    "funnel": "They were chosen to hold what the answer needs in few bytes; nothing more was done to hide "
    "the picture.",
}


def title_of(manifest: Manifest) -> str:
    """A network's title by its defence; the bundle's name where there is no word for that.

    >>> title_of(manifest)
    'Ordinary network'
    """
    return TITLES.get(manifest.defence, manifest.name)


def says(manifest: Manifest) -> str:
    """One sentence, or two, on what a device sends instead of the photo.

    >>> says(manifest).partition(".")[0]
    'Instead of the photo, the phone sends 12 maps of 8 x 8 numbers'
    """
    sent = [_amount(tensor.shape) for tensor in manifest.sent]
    listed = " and ".join([", ".join(sent[:-1]), sent[-1]] if len(sent) > 1 else sent)
    if len(sent) > _TENSORS_TOLD:
        numbers = sum(tensor.size for tensor in manifest.sent)
        listed = f"{len(sent)} tensors of {numbers:,} numbers together"
    what_is_done = _WHAT_IS_DONE.get(manifest.defence, f"Their defence: {manifest.defence}.")
    return f"Instead of the photo, the phone sends {listed}. {what_is_done}"


def _amount(shape: tuple[int, ...]) -> str:
    """How many numbers a tensor holds, as maps where it has any.

    >>> _amount((640, 7, 7)), _amount((1280, 1, 1)), _amount((16,))
    ('640 maps of 7 x 7 numbers', '1,280 numbers', '16 numbers')
    """
    if len(shape) != 3 or shape[1:] == (1, 1):
        return f"{math.prod(shape):,} numbers"
    maps = "map" if shape[0] == 1 else "maps"
    return f"{shape[0]} {maps} of {shape[1]} x {shape[2]} numbers"


def how_to_invert(bundle: Path, name: str, images: str = "DIR") -> str:
    """The command that trains the attacker's decoder of a bundle.

    Args:
        bundle: its folder.
        name: its name, by which the decoder's folder is called.
        images: a folder of pictures like those that will be sent.
    """
    return shlex.join(
        ["siftfunnel", "lab", "inverter", str(bundle), "--images", images, "--out", f"inverters/{name}"]
    )


def input_says(spec: InputSpec) -> str:
    """What is done to a picture before the network sees it.

    >>> input_says(InputSpec(224, 224, (0.5,) * 3, (0.5,) * 3, shorter_side=256, filter="bicubic"))
    'shorter side to 256, centre cut, bicubic; (pixel x 0.00392157 - mean 0.5) / 0.5, RGB, NCHW float32'
    """
    cut = {"centre": "largest centre cut", "stretch": "stretched"}
    cut |= {crop: f"{crop} on {spec.padding}" for crop in ("letterbox", "letterbox-corner")}
    side = f"shorter side to {spec.shorter_side}, centre cut"
    how = spec.filter if spec.antialias else f"{spec.filter} without antialiasing"
    numbers = "the pixel itself"
    if spec.dtype != "uint8":
        numbers = f"(pixel x {spec.scale:g} - mean {_each(spec.mean)}) / {_each(spec.std)}"
    fitted = cut[spec.crop] if spec.shorter_side is None else side
    return f"{fitted}, {how}; {numbers}, {spec.colour}, {spec.layout} {spec.dtype}"


def _each(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))


def codec_says(codec: CodecSpec) -> str:
    """One sentence on how a codec writes those numbers.

    >>> codec_says(CodecSpec("fp16", "float", {"dtype": "float16"}))
    'Each number as a floating-point number of 2 bytes.'
    """
    levels = codec.parameters.get("levels")
    match codec.kind:
        case "float":
            size = 2 if codec.parameters.get("dtype") == "float16" else 4
            return f"Each number as a floating-point number of {size} bytes."
        case "affine":
            return "Each number rounded to one of 256 steps: one byte each."
        case "table":
            return f"Each number rounded to one of {levels} steps; steps that occur often take fewer bits."
        case "signed":
            return (
                "Each number rounded to a step above or below zero, all steps of one size; "
                "what its neighbours were tells how few bits it takes."
            )
        case "packed":
            return "Each number in the way of its tensor, of which several travel in one message."
        case "lattice":
            return (
                f"Each number rounded to one of {levels} steps that were learned with the network; "
                "what can be guessed from its neighbours takes hardly any bits."
            )
