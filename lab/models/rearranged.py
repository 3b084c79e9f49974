"""A feature's values in another order and shape, some several times: the first layer of an inverter."""

from torch import Tensor, nn


class Rearranged(nn.Module):
    """Takes value ``index[i]`` of a frame as value ``i``, and gives frames the shape of maps.

    Args:
        index_K: Which value stands where, in the order of the maps.
        maps: Channels, height, width; their product is K.
    """

    index: Tensor

    def __init__(self, index_K: Tensor, maps: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("index", index_K.long())
        self.maps = maps

    def extra_repr(self) -> str:
        """The maps."""
        return " x ".join(map(str, self.maps))

    def forward(self, z: Tensor) -> Tensor:
        """N x anything to N x maps."""
        return z.flatten(1)[:, self.index].reshape(-1, *self.maps)
