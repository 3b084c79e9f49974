"""A sheet of drawn faces for an entry: some as they are, and what an eavesdropper makes of them.

Only drawn people are shown, whom nobody else is; no picture of anybody real, nor of a data set, lies here.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.board.entry import Entry
from siftfunnel.lab.board.sources import Bundles
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.bundle import Bundle, Inverter, find_inverters
from siftfunnel.shared.bundle_search import shipped_assets, shipped_folder
from siftfunnel.shared.files import write_file
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.preprocess import prepare

SHEETS, DRAWN = "sheets", "drawnfaces"
PEOPLE, GAP, QUALITY = 8, 4, 80

Pixels = NDArray[np.uint8]


def write_sheet(board: Path, entry: Entry, bundles: Bundles) -> Path | None:
    """Draw and write the sheet of an entry on drawn faces; None where nothing here restores them."""
    bundle = bundles.get(entry.origin.digest or "")
    if entry.dataset != DRAWN or (bundle is None and entry.kind != "picture-codec"):
        return None
    originals = drawn_people(entry.network.input)
    restored = _read(entry, originals) if bundle is None else _inverted(bundle, entry.sent.codec, originals)
    return None if restored is None else put_sheet(board, entry.id, originals, restored)


def drawn_people(size: tuple[int, int]) -> Pixels:
    """One shipped picture of each of some drawn people, N x H x W x 3."""
    assets = shipped_assets()
    people = sorted((assets / "images" / DRAWN).glob("*/00.png")) if assets else []
    return np.stack([prepare(path, InputSpec(*size)).pixels_HWC for path in people[:PEOPLE]])


def put_sheet(board: Path, name: str, originals: Pixels, restored: Pixels) -> Path:
    """Two rows of pictures as one small file."""
    count, height, width, _ = originals.shape
    sheet = np.full((2 * height + GAP, count * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for row, pictures in enumerate((originals, restored)):
        for column, picture in enumerate(pictures):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    stored = io.BytesIO()
    Image.fromarray(sheet).save(stored, format="WEBP", quality=QUALITY, method=6)
    path = board / SHEETS / f"{name}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, stored.getvalue())
    return path


def _read(entry: Entry, originals: Sequence[Pixels] | Pixels) -> Pixels:
    kind, _, quality = entry.sent.codec.partition("-q")
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
    features = halves.features(originals)
    arrived = np.stack([chosen.decode(chosen.encode(feature)) for feature in features])
    restored = Runner(inverter.directory / "inverter.onnx").first(arrived)
    pixels: Pixels = (restored.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return pixels
