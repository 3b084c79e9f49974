"""What an edge half costs the device: parameters and multiply-adds, counted in its graph."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from siftfunnel.shared.bundle import EDGE, Bundle


class Work(NamedTuple):
    """Where a network is cut, its parameters and multiply-adds before that, and whether it draws noise."""

    cut: str
    parameters: int
    macs: int | None
    is_noisy: bool


def work_of_bundle(bundle: Bundle) -> Work:
    """Of a bundle's edge half; parameters as they were trained, where its report says so."""
    parameters, macs = _counted(bundle.read(EDGE), bundle.manifest.input.tensor_shape)
    trained = bundle.report().get("edge_parameters", parameters)
    return Work(bundle.manifest.split_point, trained, macs, bool(bundle.manifest.edge_stages))


def work_of_recipe(stored: Mapping[str, Any]) -> Work:
    """Of the network that a recipe trains, as it would be exported."""
    chosen = {key: stored[key] for key in ("family", "defence", "width", "input_size")}
    return _of_network(json.dumps(chosen, sort_keys=True))


@cache
def _of_network(chosen: str) -> Work:
    from siftfunnel.lab.defences.registry import defence_from_json
    from siftfunnel.lab.graphs.folding import folded_copy
    from siftfunnel.lab.graphs.writing import write_onnx
    from siftfunnel.lab.networks.split import count_parameters

    recipe = json.loads(chosen)
    side, defence = recipe["input_size"], defence_from_json(recipe["defence"])
    # how many classes there are is the cloud half's business
    network = defence.build(recipe["family"], width=recipe["width"], input_size=side, num_classes=10).eval()
    graph = write_onnx(
        folded_copy(network.edge), input_name="image", input_shape=(3, side, side), output_name="feature"
    )
    _, macs = _counted(graph, (3, side, side))
    is_noisy = bool(defence.edge_stages(network))
    return Work(network.split_point, count_parameters(network.edge), macs, is_noisy)


@cache
def _counted(graph: bytes, shape: tuple[int, ...]) -> tuple[int, int | None]:
    """Parameters, and multiply-adds of one picture; None where a shape that they depend on is not known."""
    import onnx

    from siftfunnel.lab.onnx_graphs import weights
    from siftfunnel.lab.split.cuts import MULTIPLY_ADDS, multiply_adds, parameter_counts
    from siftfunnel.lab.split.prepare import with_batch

    model = onnx.load_from_string(graph)
    frames = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    known = onnx.shape_inference.infer_shapes(with_batch(model, shape, frames), data_prop=True).graph
    seen = [*known.input, *known.value_info, *known.output]
    shapes = {one.name: tuple(dim.dim_value for dim in one.type.tensor_type.shape.dim) for one in seen}
    shapes |= {name: tuple(tensor.dims) for name, tensor in weights(model.graph).items()}
    works = [multiply_adds(node, shapes) for node in known.node if node.op_type in MULTIPLY_ADDS]
    return sum(parameter_counts(model.graph).values()), sum(works) // frames if all(works) else None
