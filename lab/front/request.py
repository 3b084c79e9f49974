"""What the user asks of a front, declared once for the command line and for Python. Needs no PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from siftfunnel.lab.arguments import names
from siftfunnel.lab.data.picture_coding import CODINGS, PictureCoding
from siftfunnel.shared.settings import setting

if TYPE_CHECKING:
    from siftfunnel.lab.front.leakage import LeakageSettings

ALL = "all"
ROUNDS = 300


@dataclass(frozen=True)
class FrontRequest:
    """What the user asks for.

    Attributes:
        bundles: Folders of the bundles whose codecs are measured.
        data: Data directory; None for a data set that is drawn.
        cache: Directory for decoded pictures, or None.
        leakage: How to attack; None leaves leakage out.
        leakage_from: Other fronts, measured on another machine say, whose attacks on the same codecs of the
            same bundles are taken over.
        codings: Ways of sending the picture itself.
        rounds: Timed frames.
    """

    bundles: tuple[Path, ...]
    dataset: str = setting(help="data set that is measured on")
    out: Path = setting(help="the front, JSON; what it holds already is kept")
    unprotected: Path | None = setting(
        None, "measure JPEG, WebP and raw pixels with this whole network", metavar="BUNDLE"
    )
    fine_tune: int | None = setting(
        None,
        "train the whole network on with compressed pictures, and measure its answers beside those of the "
        "network as it is (default: only as it is)",
        metavar="EPOCHS",
    )
    pictures: int | None = setting(None, "test pictures, for a quick look (default: all)")
    again: bool = setting(False, "measure anew what FILE has")
    leakage_of: tuple[str, ...] = setting(
        (),
        "attack these codecs of every BUNDLE; `all` for all of them (default: none)",
        metavar="CODEC,...",
        read=names,
    )
    runs: Path = setting(Path("runs") / "front", "what attacks keep; restored pictures too", metavar="DIR")
    data: Path | None = None
    cache: Path | None = None
    leakage: "LeakageSettings | None" = None
    leakage_from: tuple[Path, ...] = ()
    codings: tuple[PictureCoding, ...] = CODINGS
    rounds: int = ROUNDS
