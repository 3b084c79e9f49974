"""A trained network that somebody brings, whole: read, looked at, prepared to be cut.

network = load_network(Path("net.onnx"))
network(tensors)            # one array per output
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from siftfunnel.lab.onnx_graphs import NetworkError as NetworkError
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.split.facts import InputFacts, Observed, guess_outputs, input_facts, observe
from siftfunnel.lab.split.prepare import draws_noise, prepare, random_frames
from siftfunnel.lab.split.source import read_onnx, require_ordinary, with_outputs, with_weights_apart
from siftfunnel.shared.tensors import OutputKind, OutputSpec


@dataclass(frozen=True)
class Network:
    """A whole network, prepared.

    Attributes:
        name: for people, and of what is made of it.
        model: the prepared graph, of one input, with its weights.
        input: what the graph says about its input.
        outputs: in the graph's order and under its names, their kinds guessed.
        frames_per_run: frames that it takes at once where that number is part of it; None where it is free.
        original_sha256: of the file (or files, or PyTorch's weights) that it was read from.
        tensors: what two runs showed of every tensor that depends on the picture.
        stochastic: whether two runs of one picture differ.
        notes: what was done and found, for people.
    """

    name: str
    model: onnx.ModelProto
    input: InputFacts
    outputs: tuple[OutputSpec, ...]
    frames_per_run: int | None
    original_sha256: str
    tensors: Mapping[str, Observed] = field(repr=False)
    stochastic: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def runner(self) -> Runner:
        """The whole network, on one thread."""
        return Runner(self.model, self.frames_per_run)

    def __call__(self, tensors: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Run the whole network.

        Args:
            tensors: Frames as the input takes them, any number.

        Returns:
            One array per output, frames first.
        """
        return self.runner(tensors)

    def random_frames(self, count: int) -> NDArray[Any]:
        """Input tensors from a fixed seed, for comparisons."""
        return random_frames(self.model, (count, *self.input.shape))

    @property
    def scores(self) -> OutputSpec | None:
        """The output that ranks classes; None where there is none."""
        return next((output for output in self.outputs if output.is_scores), None)

    def with_kinds(self, kinds: Mapping[str, OutputKind]) -> "Network":
        """The same with some outputs' kinds told instead of guessed.

        Raises:
            NetworkError: no such output, or a kind that its shape cannot have.
        """
        unknown = sorted(set(kinds) - {output.name for output in self.outputs})
        if unknown:
            there = ", ".join(output.name for output in self.outputs)
            raise NetworkError(f"no output {', '.join(unknown)}; there are {there}")
        try:
            told = tuple(replace(o, kind=kinds.get(o.name, o.kind)) for o in self.outputs)
        except ValueError as error:
            raise NetworkError(str(error)) from error
        if sum(output.is_scores for output in told) > 1:
            raise NetworkError("one output at most can be the classes' scores: call the others tensor")
        return replace(self, outputs=told)


def load_network(
    path: Path,
    *,
    name: str | None = None,
    size: tuple[int, int] | None = None,
    outputs: tuple[str, ...] = (),
) -> Network:
    """Read an ONNX network.

    Args:
        path: The file; weights in other files lie beside it.
        name: What to call it; None takes the file's.
        size: Height and width of its input in pixels, where the file leaves them open or says too little.
        outputs: Names of those that matter; none takes all.

    Raises:
        NetworkError: it cannot be read, run, or taken; the text says what to do.
        OSError: the file cannot be read.
    """
    model, digest = read_onnx(path)
    return network_of_graph(model, name or path.stem, digest, size=size, outputs=outputs)


def network_of_graph(
    model: onnx.ModelProto,
    name: str,
    original_sha256: str,
    *,
    size: tuple[int, int] | None = None,
    outputs: tuple[str, ...] = (),
) -> Network:
    """A network from a graph in memory; see `load_network`."""
    require_ordinary(model, name)
    model = with_weights_apart(model)
    if outputs:
        model = with_outputs(model, outputs)
    facts, batch = input_facts(model, size)
    prepared = prepare(model, facts.shape, batch)
    frames = random_frames(model, (2 * (prepared.frames_per_run or 1), *facts.shape))
    tensors = observe(prepared.model, frames, prepared.frames_per_run)
    guessed = guess_outputs(prepared.model, tensors, Runner(prepared.model, prepared.frames_per_run)(frames))
    return Network(
        name=name,
        model=prepared.model,
        input=facts,
        outputs=guessed,
        frames_per_run=prepared.frames_per_run,
        original_sha256=original_sha256,
        tensors=tensors,
        stochastic=draws_noise(model) and prepared.difference is None,
        notes=(*facts.notes, *prepared.notes),
    )
