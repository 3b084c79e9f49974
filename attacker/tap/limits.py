"""How much a tap keeps before it lets go: every buffer an overheard byte can reach has its bound here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TapLimits:
    """Bounds per connection.

    Attributes:
        frame_bytes: longest HTTP/2 frame that is read (gRPC peers allow one another 4 MiB); longer ones are
            stepped over and counted.
        message_bytes: longest gRPC message that is kept, before and after decompression; longer ones are
            stepped over and counted.
        buffered_bytes: unfinished messages of all calls together.
        header_block_bytes: longest header block, CONTINUATION frames included.
        calls: calls remembered at once; the oldest is forgotten first.
    """

    frame_bytes: int = 1 << 22
    message_bytes: int = 8 << 20
    buffered_bytes: int = 32 << 20
    header_block_bytes: int = 64 << 10
    calls: int = 256

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} must be positive, not {value}")
