"""How pictures usually become numbers, by name: the preprocessing that a network was trained with.

A wrong one costs accuracy without a word; `siftfunnel split check` shows several side by side.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.split.facts import InputFacts
from siftfunnel.shared.input_spec import InputSpec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
RESIZED = 256 / 224
"""The picture's shorter side, of which the centre is cut, by the input's: the habit of ImageNet."""


def _plain(facts: InputFacts, **values: Any) -> InputSpec:
    """An input of the graph's size, layout and type; of one channel the mean of three values is taken."""
    if facts.dtype == "uint8":
        values |= {"scale": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    if facts.channels == 1:
        values |= {"colour": "grey"}
        values |= {key: (round(sum(values[key]) / 3, 6),) for key in ("mean", "std")}
    told = {"filter": "bilinear", **values}
    return InputSpec(facts.height, facts.width, layout=facts.layout, dtype=facts.dtype, **told)  # type: ignore[arg-type]  # checked by InputSpec


def _centred(facts: InputFacts) -> dict[str, Any]:
    """The centre of a picture made a little larger than the input."""
    return {"shorter_side": round(max(facts.height, facts.width) * RESIZED)}


def _imagenet(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=IMAGENET_MEAN, std=IMAGENET_STD, **_centred(facts))


def _caffe(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=CAFFE_MEAN_BGR, std=(1.0,) * 3, scale=1.0, colour="BGR", **_centred(facts))


def _minus_one_to_one(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=(0.5,) * 3, std=(0.5,) * 3, **_centred(facts))


def _zero_to_one(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=(0.0,) * 3, std=(1.0,) * 3, **_centred(facts))


def _raw(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=(0.0,) * 3, std=(1.0,) * 3, scale=1.0, **_centred(facts))


def _letterbox(facts: InputFacts) -> InputSpec:
    return _plain(facts, mean=(0.0,) * 3, std=(1.0,) * 3, crop="letterbox")


PRESETS: Mapping[str, Callable[[InputFacts], InputSpec]] = {
    "imagenet": _imagenet,
    "caffe-bgr": _caffe,
    "minus-one-to-one": _minus_one_to_one,
    "zero-to-one": _zero_to_one,
    "raw": _raw,
    "letterbox": _letterbox,
}
"""By name; `letterbox-640` is `letterbox` for an input of that size."""


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
        return replace(known(facts), **given)
    except ValueError as error:
        raise NetworkError(f"preset {name}: {error}") from error


def all_presets(facts: InputFacts) -> dict[str, InputSpec]:
    """Every preset that differs from those before it: a graph of bytes leaves little to choose."""
    found: dict[str, InputSpec] = {}
    for name, make in PRESETS.items():
        spec = make(facts)
        if spec not in found.values():
            found[name] = spec
    return found
