"""The figures of a row besides its attacks, as JSON values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import Victim, to_floats
from siftfunnel.lab.data.images import ImageSet, Splits
from siftfunnel.lab.defences.losses import distance_correlation_squared, distance_correlation_unbiased
from siftfunnel.lab.evaluation.information import Pairs, information_of
from siftfunnel.lab.evaluation.scores import REFERENCE_SEED
from siftfunnel.lab.evaluation.subject import observed
from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.metrics.cost import count_as_torchsummary, measure_edge
from siftfunnel.lab.metrics.intervals import accuracy_interval, learned_nothing
from siftfunnel.lab.metrics.mine import MutualInformation, authors_mine, mine
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters
from siftfunnel.lab.study.profiles import MeasureBudget
from siftfunnel.lab.training.classifier import evaluate_logits
from siftfunnel.shared.preprocess import InputSpec

DISTANCE_PICTURES = 1_000
PAPER_DISTANCE_BATCH = 128


def accuracy_figures(
    network: SplitNetwork, test: ImageSet, spec: InputSpec, device: torch.device
) -> dict[str, Any]:
    """Accuracy on the test pictures with an interval over pictures; stages draw their noise."""
    torch.manual_seed(REFERENCE_SEED)
    logits = evaluate_logits(network, test, spec, device)
    right = int((logits.argmax(1) == test.labels).sum())
    return {
        "test": right / len(test),
        "ci95": accuracy_interval(right, len(test)),
        "pictures": len(test),
        "largest_class": float(np.bincount(test.labels).max() / len(test)),
        "learned_nothing": learned_nothing(right, test.labels),
    }


def _pairs(victim: Victim, images: ImageSet, count: int) -> Pairs:
    """Normalised pictures and what an eavesdropper sees of them."""
    part = images.spread(min(count, len(images)))
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (victim.mean, victim.std))
    return (to_floats(torch.from_numpy(part.images_NHWC)) - mean) / std, observed(victim, part)


def information_figures(victim: Victim, splits: Splits, budget: MeasureBudget, seed: int) -> dict[str, Any]:
    """What the feature says of the picture by every measure that looks at neither attack nor answer."""
    torch.manual_seed(seed)
    train, own, test = (
        _pairs(victim, part, budget.pictures) for part in (splits.train, splits.auxiliary, splits.test)
    )
    device = victim.device
    authors = authors_mine(*train, *own, epochs=budget.authors_epochs, seed=seed, device=device)
    uncapped = mine(*train, *test, steps=budget.steps, seed=seed, device=device)
    return {
        **information_of(train, test, steps=budget.steps, seed=seed, device=device),
        "mine_authors": _mutual(authors),
        "mine": _mutual(uncapped),
        **distance_figures(*(values[:DISTANCE_PICTURES] for values in test)),
    }


def distance_figures(x_NCHW: Tensor, z_NCHW: Tensor) -> dict[str, float]:
    """Squared distance correlation: unbiased over all pictures, and biased as the paper's batches have it.

    The biased form depends on how many pictures it is taken over, so it is the mean over whole batches of
    the paper's size, or that of all pictures where there are fewer.
    """
    batch = min(PAPER_DISTANCE_BATCH, len(x_NCHW))
    batches = zip(torch.split(x_NCHW, batch), torch.split(z_NCHW, batch), strict=True)
    biased = [float(distance_correlation_squared(x, z)) for x, z in batches if len(x) == batch]
    return {
        "distance_correlation_biased": sum(biased) / len(biased),
        "distance_correlation_unbiased": float(distance_correlation_unbiased(x_NCHW, z_NCHW)),
        "distance_correlation_pictures": len(x_NCHW),
    }


def _mutual(made: MutualInformation) -> dict[str, float]:
    return {"nats": made.nats, "ceiling_nats": made.ceiling_nats}


def cost_figures(network: SplitNetwork, budget: MeasureBudget) -> dict[str, Any]:
    """What the edge half costs a device, measured on its exported graph; parameters go beside the network."""
    shape = (3, network.input_size, network.input_size)
    exported = write_onnx(
        round_to_half(folded_copy(network.edge)), input_name="image", input_shape=shape, output_name="feature"
    )
    return {
        "parameters": {
            "edge_parameters": count_parameters(network.edge),
            "edge_parameters_torchsummary": count_as_torchsummary(network.edge, shape),
            "cloud_parameters": count_parameters(network.cloud),
        },
        **measure_edge(network.edge, exported, shape, budget.latency_runs),
    }
