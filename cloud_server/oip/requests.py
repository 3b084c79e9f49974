"""A request for inference held against its model: names, datatypes, shapes, bounds; nothing is trusted.

Whoever carries it makes `Given` of each input; values are read only once their number is known to be in
bounds. Texts and statuses are Triton's, so that clients that tell cases apart by them go on doing so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

from siftfunnel.cloud_server.oip.datatypes import TensorSpec, Values

Status = grpc.StatusCode

_SHOWN = 64
_NOT_HERE = ("shared_memory_region", "classification")


class RequestError(Exception):
    """A request that cannot be answered.

    Attributes:
        status: as gRPC has it.
        message: for people.
    """

    def __init__(self, status: Any, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def invalid(message: str) -> RequestError:
    """A request that is wrong in itself."""
    return RequestError(Status.INVALID_ARGUMENT, message)


class Given(NamedTuple):
    """An input as it was told.

    Attributes:
        name: of the input.
        datatype: as told.
        shape: as told.
        parameters: of this tensor.
        read: its values, where their number is known; raises ValueError.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Mapping[str, Any]
    read: Callable[[str, int], Values]


class Wanted(NamedTuple):
    """An output as it was asked for."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class InferRequest:
    """One request, of whichever transport.

    Attributes:
        model: its name.
        version: "" for any.
        id: given back.
        inputs: as told.
        outputs: none asks for all.
        parameters: of the request.
    """

    model: str
    version: str
    id: str
    inputs: Sequence[Given]
    outputs: Sequence[Wanted] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Output(NamedTuple):
    """An output with its values, [N, ...]."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


class InferResponse(NamedTuple):
    """An answered request.

    Attributes:
        request: what was asked.
        version: of the model that answered.
        outputs: in the order in which they were asked for.
        parameters: of the response.
    """

    request: InferRequest
    version: str
    outputs: list[Output]
    parameters: Mapping[str, Any]


def read_inputs(request: InferRequest, specs: Sequence[TensorSpec], most_rows: int) -> list[Values]:
    """Values of all inputs, in the order of the model's.

    Args:
        request: nothing in it is trusted.
        specs: the model's inputs.
        most_rows: what the axis of the batch may be.

    Raises:
        RequestError: an input is missing, unknown, told twice, of another datatype or shape, of too many rows
            or of another size than its shape says.
    """
    model, given = request.model, {each.name: each for each in request.inputs}
    if len(request.inputs) != len(specs):
        raise invalid(
            f"expected {len(specs)} inputs but got {len(request.inputs)} inputs for model '{model}'"
        )
    known = {spec.name for spec in specs}
    for each in request.inputs:
        if each.name not in known:
            raise invalid(f"unexpected inference input '{each.name[:_SHOWN]}' for model '{model}'")
        _refuse_unknown(each.parameters, f"input '{each.name}'")
    if len(given) != len(specs):
        raise invalid(f"an input is given twice to model '{model}'")
    rows = {_rows(given[spec.name], spec, model, most_rows) for spec in specs}
    if len(rows) != 1:
        raise invalid(f"inputs of model '{model}' have different batch sizes: {sorted(rows)}")
    return [_read(given[spec.name], spec, model) for spec in specs]


def wanted_positions(request: InferRequest, specs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Positions of the outputs that a request asks for.

    Raises:
        RequestError: one that the model does not have, one twice, or something that is not done here.
    """
    positions = {spec.name: place for place, spec in enumerate(specs)}
    for each in request.outputs:
        if each.name not in positions:
            raise invalid(f"unexpected inference output '{each.name[:_SHOWN]}' for model '{request.model}'")
        _refuse_unknown(each.parameters, f"output '{each.name}'")
    chosen = tuple(positions[each.name] for each in request.outputs) or tuple(positions.values())
    if len(set(chosen)) < len(chosen):
        raise invalid(f"an output of model '{request.model}' is asked for twice")
    return chosen


def _refuse_unknown(parameters: Mapping[str, Any], where: str) -> None:
    for name in _NOT_HERE:
        # `classification` of 0 asks for none
        if parameters.get(name):
            raise RequestError(Status.UNIMPLEMENTED, f"{where}: {name} is not supported by this server")


def _rows(given: Given, spec: TensorSpec, model: str, most: int) -> int:
    if given.datatype != spec.datatype:
        raise invalid(
            f"inference input '{spec.name}' data-type is '{given.datatype[:_SHOWN]}', but model '{model}' "
            f"expects '{spec.datatype}'"
        )
    if given.shape[1:] != spec.dims or given.shape[0] < 1:
        shown = ",".join(map(str, given.shape[:8]))
        raise invalid(
            f"unexpected shape for input '{spec.name}' for model '{model}'. Expected "
            f"[{','.join(map(str, (-1, *spec.dims)))}], got [{shown}]"
        )
    if given.shape[0] > most:
        raise invalid(f"inference request batch-size must be <= {most} for '{model}'")
    return given.shape[0]


def _read(given: Given, spec: TensorSpec, model: str) -> Values:
    count = given.shape[0]
    for axis in spec.dims:
        count *= axis
    try:
        return given.read(spec.datatype, count)
    except ValueError as error:
        raise invalid(f"input '{spec.name}' for model '{model}': {error}") from error
