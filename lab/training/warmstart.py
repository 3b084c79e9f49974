"""A head start for the funnel from a trained unprotected network.

Ours, not the paper's, which trains from scratch. The first block and everything after the cloud's restored
feature are copied; what lies between (gates, neck, restoring convolutions) is then fitted so that the
restored feature resembles the unprotected one. That regression has thousands of targets per picture where a
label has one, so a few epochs do what dozens from scratch would. The fit is only a
start: the recipe then trains the whole network with Eq. 15 alone, without a term that asks for the old
    feature.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.data.images import Splits
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.training.classifier import Batch, ClassifierTask
from siftfunnel.lab.training.recipes import Recipe


def copy_shared_blocks(source: SplitNetwork, target: SplitNetwork) -> None:
    """Copy the first block and all behind the cut of an unprotected network into its family's funnel.

    Raises:
        ValueError: other networks than these, or sizes that differ.
    """
    if source.restoring or not target.restoring:
        raise ValueError("a warm start copies from an unprotected network to a funnel")
    try:
        target.edge[0].load_state_dict(source.edge[0].state_dict())
        nn.Sequential(*list(target.cloud)[target.restoring :]).load_state_dict(source.cloud.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"warm start: the networks differ in family, width, input size or classes ({error})"
        ) from error


def keep_signal_size(funnel: SplitNetwork) -> None:
    """Draw the neck's convolutions anew so that each keeps its input's variance.

    PyTorch's default shrinks the signal to a third of its variance per layer; the neck has five without
    normalisation.
    """
    for module in funnel.edge.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels != 3 and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            nn.init.zeros_(module.bias)


class RestoringTask(ClassifierTask):
    """Fit a funnel's restored feature to a trained network's own, as the start of a recipe."""

    def __init__(self, recipe: Recipe, splits: Splits, device: torch.device, trained: SplitNetwork) -> None:
        super().__init__(recipe, splits, device)
        keep_signal_size(self.model)
        copy_shared_blocks(trained, self.model)
        self._trained_edge = channels_last(trained.edge.to(device)).eval()
        self._trained_edge.requires_grad_(False)

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Squared error of the restored feature, relative to the variance of the wanted one."""
        x, _, _ = batch
        wanted = self._trained_edge(x)
        restored = self.model.cloud[: self.model.restoring](self.model.edge(x))
        loss = functional.mse_loss(restored, wanted) / wanted.var()
        return loss, {"unexplained": loss.detach()}
