"""A sheet of drawn faces for an entry: some as they are, and what an eavesdropper makes of them.

Only drawn people are shown, whom nobody is; no picture of anybody real, nor of a data set, lies here.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.board.entry import Entry
from siftfunnel.lab.board.sources import Bundles
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.reports.contact_sheet import contact_sheet
from siftfunnel.shared.bundle import Bundle, Inverter, find_inverters
from siftfunnel.shared.bundle_search import shipped_assets, shipped_folder
from siftfunnel.shared.files import write_file
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.preprocess import prepare

SHEETS, DRAWN = "sheets", "drawnfaces"
PEOPLE, QUALITY = 8, 80

Pixels = NDArray[np.uint8]


def write_sheet(board: Path, entry: Entry, bundles: Bundles) -> Path | None:
    """Draw and write the sheet of an entry on drawn faces; None where nothing here restores them."""
    bundle, assets = bundles.get(entry.origin.digest or ""), shipped_assets()
    if entry.dataset != DRAWN or assets is None or (bundle is None and entry.kind != "picture-codec"):
        return None
    people = sorted((assets / "images" / DRAWN).glob("*/00.png"))[:PEOPLE]
    originals = np.stack([prepare(path, InputSpec(*entry.input)).pixels_HWC for path in people])
    restored = _inverted(bundle, entry.codec, originals) if bundle else _read(entry.codec, originals)
    if restored is None:
        return None
    path = board / SHEETS / f"{entry.id}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, contact_sheet([("", originals), ("", restored)], QUALITY))
    return path


def _read(codec: str, originals: Pixels) -> Pixels:
    kind, _, quality = codec.partition("-q")
    coding = PictureCoding(kind, int(quality))  # type: ignore[arg-type]  # an entry of a picture codec
    return np.stack([coding.decode(coding.encode(picture), picture.shape) for picture in originals])


def _inverted(bundle: Bundle, codec: str, originals: Pixels) -> Pixels | None:
    """What the decoder that is stored for a bundle restores after a codec; None without one."""
    found = (one for one in find_inverters(*shipped_folder("inverters")) if isinstance(one, Inverter))
    inverter = next((one for one in found if one.bundle_digest == bundle.digest), None)
    if inverter is None:
        return None
    halves = Halves(bundle, ())
    chosen = next(each for each in halves.codecs if each.name == codec)
    arrived = np.stack([chosen.decode(chosen.encode(feature)) for feature in halves.features(originals)])
    restored = Runner(inverter.directory / "inverter.onnx").first(arrived)
    pixels: Pixels = (restored.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return pixels
