"""A bundle whose cloud half does nothing: what is left of a request's time is the serving."""

from dataclasses import replace
from pathlib import Path

from siftfunnel.shared.bundle import CLOUD, EDGE, Bundle, write_bundle

_IR_VERSION, _OPSET = 9, 17


def write_null_bundle(directory: Path, bundle: Bundle) -> Bundle:
    """The same bundle with a cloud half that takes its first values as logits.

    Raises:
        ValueError: a feature has fewer values than there are classes.
    """
    manifest = bundle.manifest
    shape, classes = manifest.feature.shape, len(manifest.classes)
    files = {EDGE: bundle.read(EDGE), CLOUD: null_model(shape, classes)}
    return write_bundle(directory, replace(manifest, name=f"{manifest.name}-null"), files, {})


def null_model(shape: tuple[int, int, int], classes: int) -> bytes:
    """``feature`` [N, C, H, W] to ``logits`` [N, K]: the first K values of each frame.

    Raises:
        ValueError: there are fewer than K values.
    """
    from onnx import TensorProto, checker, helper

    channels, height, width = shape
    if classes > channels * height * width:
        raise ValueError(f"a feature of {shape} has fewer values than there are classes ({classes})")
    numbers = {"begin": 0, "end": classes, "axis": 1}
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in numbers.items()]
    nodes = [
        helper.make_node("Flatten", ["feature"], ["flat"], axis=1),
        helper.make_node("Slice", ["flat", *numbers], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "null",
        [helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
