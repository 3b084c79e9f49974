"""What networks and codecs are called where somebody who does not know them looks on."""

from siftfunnel.shared.manifest import CodecSpec, Manifest

TITLES = {
    "none": "Ordinary network",
    "siftfunnel": "SiftFunnel",
    "siftfunnel-rate": "SiftFunnel, trained for its rate",
}
_WHAT_IS_DONE = {
    "none": "Nothing was done to hide the picture in them.",
    "siftfunnel": "They were trained to hold what the answer needs and little else of the picture.",
    "siftfunnel-rate": "They were trained to hold what the answer needs, in as few bits as possible.",
}


def title_of(manifest: Manifest) -> str:
    """A network's title by its defence; the bundle's name where there is no word for that.

    >>> title_of(manifest)
    'Ordinary network'
    """
    return TITLES.get(manifest.defence, manifest.name)


def says(manifest: Manifest) -> str:
    """One sentence, or two, on what a device sends instead of the photo."""
    channels, height, width = manifest.feature.shape
    maps = "map" if channels == 1 else "maps"
    sent = f"Instead of the photo, the phone sends {channels} {maps} of {height} x {width} numbers"
    return f"{sent}. {_WHAT_IS_DONE.get(manifest.defence, f'Their defence: {manifest.defence}.')}"


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
                f"Each number rounded to one of {levels} steps above and below zero, all of one size; "
                "what its neighbours were tells how few bits it takes."
            )
        case "packed":
            return "Several tensors in one message, each written in its own way."
        case "lattice":
            return (
                f"Each number rounded to one of {levels} steps that were learned with the network; "
                "what can be guessed from its neighbours takes hardly any bits."
            )
