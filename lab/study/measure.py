"""The figures of a row besides its attacks, as JSON values."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import BATCH, Victim, to_floats
from siftfunnel.lab.data.images import ImageSet, Splits
from siftfunnel.lab.defences.losses import distance_correlation_squared, distance_correlation_unbiased
from siftfunnel.lab.export.folding import folded_copy, round_to_half
from siftfunnel.lab.export.graph import write_onnx
from siftfunnel.lab.metrics.authors import PAPER_BATCH, paper_scores
from siftfunnel.lab.metrics.contrastive import info_nce
from siftfunnel.lab.metrics.cost import measure_edge
from siftfunnel.lab.metrics.information import effective_information_mean, entropy_coded_bits
from siftfunnel.lab.metrics.intervals import accuracy_interval, learned_nothing
from siftfunnel.lab.metrics.mine import MutualInformation, authors_mine, mine
from siftfunnel.lab.metrics.pictures import score_pictures, summarise
from siftfunnel.lab.metrics.references import REFERENCES, reference_pictures
from siftfunnel.lab.metrics.retrieval import retrieval_of_pictures
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters
from siftfunnel.lab.study.profiles import MeasureBudget
from siftfunnel.lab.training.classifier import evaluate_logits
from siftfunnel.shared.preprocess import InputSpec

DISTANCE_PICTURES = 1_000
PAPER_DISTANCE_BATCH = 128
REFERENCE_SEED = 1
PAPER_RMLE_BATCH = 64


def scores_of(x_NCHW: Tensor, y_NCHW: Tensor, paper_batch: int = PAPER_BATCH) -> dict[str, Any]:
    """What is said of restored pictures: standard scores, the paper's, retrieval, and each picture's PSNR.

    Args:
        x_NCHW: Originals.
        y_NCHW: Restored pictures.
        paper_batch: Batch over which the paper's PSNR and SSIM are taken: 32 for inverters, 64 for rMLE.
    """
    scores = score_pictures(x_NCHW, y_NCHW)
    return {
        "standard": summarise(scores),
        "paper": paper_scores(x_NCHW, y_NCHW, paper_batch),
        "retrieval_rank1": retrieval_of_pictures(y_NCHW, x_NCHW).rank1,
        "pictures": len(scores),
        "psnr_db_per_image": [round(float(value), 2) for value in scores.psnr_db_N],
    }


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


def reference_figures(x_NCHW: Tensor, auxiliary: ImageSet) -> dict[str, Any]:
    """What the reference rows score on the attacked pictures."""
    x = x_NCHW.cpu()
    own = to_floats(torch.from_numpy(auxiliary.images_NHWC))
    return {name: scores_of(x, reference_pictures(name, x, own, REFERENCE_SEED)) for name in REFERENCES}


def _pairs(victim: Victim, images: ImageSet, count: int) -> tuple[Tensor, Tensor]:
    """Normalised pictures and what an eavesdropper sees of them."""
    part = images.spread(min(count, len(images)))
    x_NCHW = to_floats(torch.from_numpy(part.images_NHWC))
    with torch.no_grad():
        z_NCHW = torch.cat(
            [victim.observe(piece.to(victim.device)).cpu() for piece in torch.split(x_NCHW, BATCH)]
        )
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (victim.mean, victim.std))
    return (x_NCHW - mean) / std, z_NCHW


def information_figures(victim: Victim, splits: Splits, budget: MeasureBudget, seed: int) -> dict[str, Any]:
    """What the feature says of the picture by every measure that looks at neither attack nor answer."""
    torch.manual_seed(seed)
    x_train, z_train = _pairs(victim, splits.train, budget.pictures)
    x_own, z_own = _pairs(victim, splits.auxiliary, budget.pictures)
    x_test, z_test = _pairs(victim, splits.test, budget.pictures)
    coded = entropy_coded_bits(z_train, z_test)
    contrast = info_nce(x_train, z_train, x_test, z_test, steps=budget.steps, seed=seed, device=victim.device)
    return {
        "effective_information_mean": effective_information_mean(z_test),
        "feature_values": int(z_test[0].numel()),
        "mine_authors": _mutual(
            authors_mine(
                x_train, z_train, x_own, z_own, epochs=budget.authors_epochs, seed=seed, device=victim.device
            )
        ),
        "mine": _mutual(
            mine(x_train, z_train, x_test, z_test, steps=budget.steps, seed=seed, device=victim.device)
        ),
        "info_nce": {"nats": contrast.nats, "ceiling_nats": contrast.ceiling_nats},
        "retrieval_rank1_from_feature": contrast.retrieval_rank1,
        **distance_figures(x_test[:DISTANCE_PICTURES], z_test[:DISTANCE_PICTURES]),
        "entropy_coded_bits": {"mean": coded.mean_bits, "p95": coded.p95_bits, "max": coded.max_bits},
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
    made = measure_edge(network.edge, exported, shape, runs=budget.latency_runs)
    return {
        "parameters": {
            "edge_parameters": made.parameters,
            "edge_parameters_torchsummary": made.parameters_torchsummary,
            "cloud_parameters": count_parameters(network.cloud),
        },
        "edge_file_bytes": made.file_bytes,
        "edge_memory_bytes": asdict(made.memory),
        "edge_latency_ms_cpu": asdict(made.cpu),
        "edge_latency_ms_gpu": None if made.gpu is None else asdict(made.gpu),
    }
