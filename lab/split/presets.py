"""How pictures usually become numbers, by name: the preprocessing that a network was trained with.

A wrong one costs accuracy without a word; `siftfunnel split check` shows several side by side.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.facts import InputFacts
from siftfunnel.shared.input_spec import InputSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
RESIZED = 256 / 224
"""The picture's shorter side, of which the centre is cut, by the input's: the habit of ImageNet."""


_NONE, _ONE = (0.0,) * 3, (1.0,) * 3
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "imagenet": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
    "caffe-bgr": {"mean": CAFFE_MEAN_BGR, "std": _ONE, "scale": 1.0, "colour": "BGR"},
    "minus-one-to-one": {"mean": (0.5,) * 3, "std": (0.5,) * 3},
    "zero-to-one": {"mean": _NONE, "std": _ONE},
    "raw": {"mean": _NONE, "std": _ONE, "scale": 1.0},
    "letterbox": {"mean": _NONE, "std": _ONE, "crop": "letterbox"},
}
"""Words of `InputSpec` by name; `letterbox-640` is `letterbox` for an input of that size."""


def _spec(facts: InputFacts, words: Mapping[str, Any]) -> InputSpec:
    """An input of the graph's size, layout and type; of one channel the mean of three values is taken."""
    told = {"filter": "bilinear", **words}
    if "crop" not in words:
        told["shorter_side"] = round(max(facts.height, facts.width) * RESIZED)
    if facts.dtype == "uint8":
        told |= {"scale": 1.0, "mean": _NONE, "std": _ONE}
    if facts.channels == 1:
        told |= {"colour": "grey"}
        told |= {key: (round(sum(told[key]) / 3, 6),) for key in ("mean", "std")}
    return InputSpec(facts.height, facts.width, layout=facts.layout, dtype=facts.dtype, **told)  # type: ignore[arg-type]  # checked by InputSpec


def preset(name: str, facts: InputFacts, **changes: Any) -> InputSpec:
    """The input of a preset for a network, some of its words changed.

    Args:
        name: Of a preset.
        facts: What the graph says; size, layout, channels and type are its.
        changes: Fields of `InputSpec`; those that are None change nothing.

    Raises:
        NetworkError: no such preset, a size that is not the network's, or changes that make no sense.
    """
    stem, _, side = name.rpartition("-")
    known = PRESETS.get(name) or (PRESETS["letterbox"] if stem == "letterbox" and side.isdigit() else None)
    if known is None:
        raise NetworkError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    if name not in PRESETS and int(side) != max(facts.height, facts.width):
        raise NetworkError(
            f"{name} is for an input of {side} pixels, this one is {facts.height}x{facts.width}: "
            f"--preset letterbox, or --size {side}x{side} where the network takes any size"
        )
    given = {key: value for key, value in changes.items() if value is not None}
    if given.get("crop", "centre") != "centre":
        given.setdefault("shorter_side", None)
    try:
        return replace(_spec(facts, known), **given)
    except ValueError as error:
        raise NetworkError(f"preset {name}: {error}") from error


def all_presets(facts: InputFacts) -> dict[str, InputSpec]:
    """Every preset that differs from those before it: a graph of bytes leaves little to choose."""
    found: dict[str, InputSpec] = {}
    for name, words in PRESETS.items():
        spec = _spec(facts, words)
        if spec not in found.values():
            found[name] = spec
    return found
