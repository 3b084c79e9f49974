"""What a defence is: which network it builds, what it adds at the cut, and which loss it trains with.

A defence is a frozen dataclass whose fields are its parameters; ``origins`` says of each whether its value is
the paper's or ours. Everything random in training comes from PyTorch's global generator, which run folders
store, so that an interrupted training resumes to the same result.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from torch import Tensor

from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.shared.manifest import EdgeStage

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


@dataclass(frozen=True)
class Loss:
    """The scalar to minimise, and its terms before weighting, by name."""

    total: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class Defence:
    """Base of all defences: an unprotected network unless a subclass says otherwise.

    Class attributes:
        name: As recipes, manifests and results write it.
        label: As the paper's tables print it.
        source: Where the method comes from.
        variant: Which network of a family it trains (``siftfunnel.lab.networks.registry``).
        origins: For each field where its value comes from: one of ``ORIGINS``.
        private: Trained with clipped gradients per picture and noise (DPSGD).
        goes_on: Learns nothing from scratch: its recipes go on from a trained network.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    variant: ClassVar[str] = "unprotected"
    origins: ClassVar[Mapping[str, str]] = {}
    private: ClassVar[bool] = False
    goes_on: ClassVar[bool] = False

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
        """The training loss of one step."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Defence":
        """From JSON values; where a field is no JSON value, a subclass says how."""
        return cls(**parameters)

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
