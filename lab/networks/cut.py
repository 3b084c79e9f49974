"""A family of networks as named stages, and a cut after one of them.

    stage 1 -> ... -> stage i  |cut|  stage i+1 -> ... -> head

A cut's stages are functions that make a layer each, in the order in which its weights are drawn, so that a
wrapper (``necks.py``) can put layers on either side before anything is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from siftfunnel.lab.networks.split import SplitNetwork

Make = Callable[[], nn.Module]
"""Makes one layer or stage."""


@dataclass(frozen=True)
class FunnelShape:
    """What a family's funnel puts in the place of its edge; ``necks.funnel`` says where each part stands.

    Attributes:
        channels: Channels that cross the cut.
        entry: From the width to the first blocks, each of which is followed by a pair of gates.
        narrow: From the width to the layers that leave a quarter of the channels.
        reduction: Of the gates behind each block; also the least width.
        neck_reductions: Of the two gates behind the neck.
        starts_open: Whether the neck begins without biases; see ``necks.start_open``.
    """

    channels: int
    entry: Callable[[int], Sequence[Make]]
    narrow: Callable[[int], nn.Sequential]
    reduction: int
    neck_reductions: tuple[int, int]
    starts_open: bool = False


@dataclass(frozen=True)
class Family:
    """Networks of one architecture in every size.

    Attributes:
        paper_width: The width at which it is the paper's network.
        halvings: How often the side of the input is halved before the head.
        cut_after: Name of the stage after which the paper cuts.
        stages: From width, input size and number of classes to all stages by name, the head last.
        funnel: Its funnel.
    """

    paper_width: int
    halvings: int
    cut_after: str
    stages: Callable[[int, int, int], Mapping[str, Make]]
    funnel: FunnelShape

    def cut(self, *, width: int, input_size: int, num_classes: int, after: str | None = None) -> "Cut":
        """The network of a size, cut after the stage of this name; None cuts where the paper does.

        Raises:
            ValueError: a size that cannot work, no such stage, or the head, behind which nothing is left.
        """
        multiple = 2**self.halvings
        if input_size < multiple or input_size % multiple:
            raise ValueError(
                f"input size must be a multiple of {multiple} ({self.halvings} halvings), got {input_size}"
            )
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if num_classes < 2:
            raise ValueError(f"a classifier needs two classes or more, got {num_classes}")
        stages, after = self.stages(width, input_size, num_classes), after or self.cut_after
        names = list(stages)
        if after not in names[:-1]:
            raise ValueError(f"no cut after {after!r}; there is one after each of {', '.join(names[:-1])}")
        makes, place = list(stages.values()), names.index(after) + 1
        return Cut(
            self.funnel,
            width,
            input_size,
            num_classes,
            (*makes[:place],),
            (*makes[place:],),
            f"after {after}",
        )


@dataclass(frozen=True)
class Cut:
    """A network of some size on both sides of a cut, before anything of it is made.

    Attributes:
        funnel: The family's funnel.
        width: Of the network, as the family counts it.
        input_size: Side of the pictures.
        num_classes: Number of classes.
        before: The edge's children.
        after: The cloud's, the head last.
        split_point: Where the cut is, in words.
        restoring: How many of ``after`` bring back what was made narrower.
    """

    funnel: FunnelShape
    width: int
    input_size: int
    num_classes: int
    before: tuple[Make, ...]
    after: tuple[Make, ...]
    split_point: str
    restoring: int = 0

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what crosses, found with shapes alone: no weight is drawn."""
        with torch.device("meta"), torch.no_grad():
            edge = nn.Sequential(*(make() for make in self.before)).eval()
            _, channels, height, width = edge(torch.zeros(1, 3, self.input_size, self.input_size)).shape
        return channels, height, width

    def build(self) -> SplitNetwork:
        """The network, with weights drawn from PyTorch's global generator, the edge's first."""
        return SplitNetwork(
            nn.Sequential(*(make() for make in self.before)),
            nn.Sequential(*(make() for make in self.after)),
            width=self.width,
            input_size=self.input_size,
            num_classes=self.num_classes,
            feature_shape=self.feature_shape,
            split_point=self.split_point,
            restoring=self.restoring,
        )
