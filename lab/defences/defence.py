"""What a defence is: the network that it builds, its loss, how it trains, and the codecs that it is sent by.

A defence is a frozen dataclass whose fields are its parameters; ``origins`` says of each whether its value is
the paper's or ours. Everything random in training comes from PyTorch's global generator, which run folders
store, so that an interrupted training resumes to the same result.

Nothing else in the lab knows one defence from another: whatever one of them needs is a method here, with what
all others do as its default.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from siftfunnel.lab.defences.losses import Loss
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import CodecSpec, EdgeStage
from siftfunnel.shared.wire import calibrate

CALIBRATION_PICTURES = 2000
ORIGINS = ("paper", "released code", "source", "ours")


@dataclass(frozen=True)
class Step:
    """What a loss may look at in one training step.

    Attributes:
        x_NCHW: Normalised pictures as the edge saw them.
        z_NCHW: Features as they leave the device, after the network's stage.
        logits_NK: Class scores.
        labels_N: Class indices.
        hidden: Output of each child of the edge and of the cloud but the head, before the stage.
        network: The network in training.
        share_done: Share of the training that is done, from 0 to 1.
        taught_NK: What the recipe's teachers answer, class probabilities; None without teachers.
    """

    x_NCHW: Tensor
    z_NCHW: Tensor
    logits_NK: Tensor
    labels_N: Tensor
    hidden: tuple[Tensor, ...]
    network: SplitNetwork
    share_done: float
    taught_NK: Tensor | None = None

    @property
    def cross_entropy(self) -> Tensor:
        """Mean cross-entropy of scores and labels, in nats."""
        return functional.cross_entropy(self.logits_NK, self.labels_N)


@dataclass(frozen=True)
class Defence:
    """Base of all defences: an unprotected network unless a subclass says otherwise.

    Class attributes:
        name: As recipes, manifests and results write it.
        label: As the paper's tables print it.
        source: Where the method comes from.
        variant: Which network of a family it trains (``siftfunnel.lab.networks.registry``).
        origins: For each field where its value comes from: one of ``ORIGINS``.
        goes_on: Learns nothing from scratch: its recipes go on from a trained network.
        own_weight: The fields that say how much it protects, ``field.field`` inside a field; all of them are
            multiplied together where it is swept to a front.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    variant: ClassVar[str] = "unprotected"
    origins: ClassVar[Mapping[str, str]] = {}
    goes_on: ClassVar[bool] = False
    own_weight: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def for_family(cls, family: str) -> "Defence":
        """With the parameters that the paper gives it in a family of networks; the defaults by default."""
        return cls()

    @classmethod
    def variations(cls) -> Mapping[str, "Defence"]:
        """What the study tries of it with other parameters, by the name of the row; nothing by default."""
        return {}

    @classmethod
    def ablations(cls) -> Mapping[str, "Defence"]:
        """The same for parts of it that are switched off."""
        return {}

    def weighted(self, factor: float) -> "Defence":
        """With so many times its own weight and all else as it is.

        Raises:
            ValueError: it has no weight of its own, or the factor is not above 0.
        """
        if not self.own_weight:
            raise ValueError(f"{self.name} has no weight of its own that could be swept")
        if not 0 < factor < math.inf:
            raise ValueError(f"a weight is multiplied by a number above 0, got {factor}")
        made = self
        for path in self.own_weight:
            outer, _, inner = path.partition(".")
            value = getattr(made, outer)
            value = replace(value, **{inner: factor * getattr(value, inner)}) if inner else factor * value
            made = replace(made, **{outer: value})
        return made

    def architecture(self, family: str) -> str:
        """Name of the network it trains in a family such as ``cnn``."""
        return f"{family}-{self.variant}"

    def build(self, family: str, *, width: int, input_size: int, num_classes: int) -> SplitNetwork:
        """The network, with this defence's stage and companion in place."""
        network = build_network(
            self.architecture(family), width=width, input_size=input_size, num_classes=num_classes
        )
        self.furnish(network)
        return network

    def furnish(self, network: SplitNetwork) -> None:
        """Put a stage or a companion into a fresh network; nothing by default."""

    def edge_stages(self, network: SplitNetwork) -> tuple[EdgeStage, ...]:
        """The stage as a bundle's manifest names it; the device draws its noise from the operating system."""
        return ()

    def loss(self, step: Step) -> Loss:
        """The training loss of one step; cross-entropy by default."""
        entropy = step.cross_entropy
        return Loss(entropy, {"cross_entropy": entropy})

    def start(self, network: SplitNetwork, x_NCHW: Tensor) -> None:
        """Fit its stage to weights that came from elsewhere; nothing by default.

        Args:
            network: In evaluation mode, with another network's weights in both halves.
            x_NCHW: A few hundred normalised training pictures.
        """

    def batches(
        self, pictures: int, samples: int, batch_size: int, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """One epoch's batches as indices; by default of the pictures in random order.

        Args:
            pictures: Training pictures that there are.
            samples: Pictures in an epoch.
            batch_size: Pictures in a batch.
            generator: Source of all randomness.
        """
        yield from torch.split(torch.randperm(pictures, generator=generator)[:samples], batch_size)

    def optimizer(
        self, network: SplitNetwork, usual: torch.optim.Optimizer, batch_size: int
    ) -> torch.optim.Optimizer:
        """What takes its steps; ``usual`` itself by default."""
        return usual

    def validate(self, network: SplitNetwork, accuracy: Callable[[], float]) -> dict[str, float]:
        """Figures on the validation pictures; ``score`` chooses the best epoch.

        Args:
            network: The network, in evaluation mode.
            accuracy: Measures it as it stands.
        """
        reached = accuracy()
        return {"validation_accuracy": reached, "score": reached}

    def privacy_spent(self, *, steps: int, pictures: int, batch_size: int) -> float | None:
        """The budget epsilon that so many steps spend on so many pictures; None where nothing is promised."""
        return None

    def codecs(self, network: SplitNetwork, features_NCHW: NDArray[np.float32]) -> tuple[CodecSpec, ...]:
        """The codecs of a bundle; by default the usual ones, calibrated.

        Args:
            network: The trained network.
            features_NCHW: Features of validation pictures as they leave the device.
        """
        return calibrate(features_NCHW[:CALIBRATION_PICTURES])

    def use_codec(self, network: SplitNetwork, position: int) -> None:
        """From now on compute as a bundle does by the codec of this position; nothing by default."""

    def parameters(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Defence":
        """From JSON values: lists become tuples, objects the dataclass that is the field's default."""

        def read(value: Any, default: Any) -> Any:
            if isinstance(value, Mapping) and is_dataclass(default):
                return default(**value)  # type: ignore[operator]  # a class, which is its own factory
            return tuple(value) if isinstance(value, list) else value

        defaults = {field.name: field.default_factory for field in fields(cls)}
        return cls(**{name: read(value, defaults.get(name)) for name, value in parameters.items()})

    def to_json(self) -> dict[str, Any]:
        """Name and parameters; ``siftfunnel.lab.defences.registry.defence_from_json`` reads it back."""
        return {"name": self.name, "parameters": self.parameters()}

    def describe(self) -> dict[str, Any]:
        """What a result says about it: name, label, source, each parameter with its origin."""
        return {
            **self.to_json(),
            "label": self.label,
            "source": self.source,
            "origins": {field.name: self.origins[field.name] for field in fields(self)},
        }
