"""Two halves that somebody has cut already, as one network and the cut through it."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import onnx
from onnx import compose

from siftfunnel.lab.onnx_graphs import NetworkError, given_inputs
from siftfunnel.lab.split.cuts import Cut, cut_named
from siftfunnel.lab.split.network import Network, network_of_graph
from siftfunnel.lab.split.source import read_onnx, with_outputs, with_weights_apart

_CLOUD = "cloud."
"""Before the names of the cloud half's tensors, so that none of them is one of the edge half's."""


def joined_network(
    edge: Path, cloud: Path, *, name: str | None = None, size: tuple[int, int] | None = None
) -> tuple[Network, Cut]:
    """Join two halves: what fits, exports and checks a cut network then does so for them.

    An input of the cloud half is the edge half's output of the same name, or the only one.

    Raises:
        NetworkError: a half cannot be read, or they do not fit together; the text says why.
        OSError: a file cannot be read.
    """
    first, first_sha256 = read_onnx(edge)
    second, second_sha256 = read_onnx(cloud, is_whole=False)
    first, second = with_weights_apart(first), with_weights_apart(second)
    pairs = _pairs(first, second)
    whole = _joined(first, second, pairs)
    tensors = [output for output, _ in pairs]
    outputs = [f"{_CLOUD}{value.name}" for value in second.graph.output]
    digest = sha256((first_sha256 + second_sha256).encode()).hexdigest()
    # tensors that are outputs keep their names when the graph is simplified
    network = network_of_graph(
        with_outputs(whole, (*tensors, *outputs)), name or edge.resolve().parent.name, digest, size=size
    )
    kept = tuple(output for output in network.outputs if output.name in outputs)
    network = replace(network, model=with_outputs(network.model, tuple(outputs)), outputs=kept)
    return network, cut_named(network, "+".join(tensors))


def _pairs(first: onnx.ModelProto, second: onnx.ModelProto) -> list[tuple[str, str]]:
    outputs = [value.name for value in first.graph.output]
    inputs = [value.name for value in given_inputs(second.graph)]
    if set(inputs) == set(outputs):
        return [(name, name) for name in outputs]
    if len(inputs) == len(outputs) == 1:
        return [(outputs[0], inputs[0])]
    raise NetworkError(
        f"the edge half gives {', '.join(outputs)}, the cloud half takes {', '.join(inputs)}: name them alike"
    )


def _joined(first: onnx.ModelProto, second: onnx.ModelProto, pairs: list[tuple[str, str]]) -> onnx.ModelProto:
    prefixed = compose.add_prefix(second, _CLOUD)
    opsets = [
        {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        for model in (first, prefixed)
    ]
    if any(opsets[0].get(domain, version) != version for domain, version in opsets[1].items()):
        raise NetworkError(
            f"the halves are written for opsets {opsets[0]} and {opsets[1]}: export both with the same opset"
        )
    version = max(first.ir_version, prefixed.ir_version)
    first.ir_version = prefixed.ir_version = version
    io_map = [(output, f"{_CLOUD}{name}") for output, name in pairs]
    wanted = [name for name, _ in pairs] + [value.name for value in prefixed.graph.output]
    try:
        return compose.merge_models(first, prefixed, io_map, outputs=wanted)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise NetworkError(f"the halves do not fit together: {error}") from error
