"""Writing drawn sets to disk: class folders of PNG with their provenance, and a contact sheet."""

import io
import json
import platform
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from siftfunnel.lab.faces.cast import TARGET_NAMES
from siftfunnel.lab.faces.sets import Pictures, draw_split

ABOUT = "ABOUT.json"
_GAP = 6
_CAPTION = 16


def write_set(folder: Path, per_identity: int, seed: int, split: str = "demo") -> int:
    """Write a split of the twenty as ``folder/<name>/<nn>.png`` with ``folder/ABOUT.json`` beside them.

    Args:
        folder: where to; made if absent. Files of the same names are replaced.
        per_identity: pictures of each person.
        seed: seed of the set.
        split: which of the splits.

    Returns:
        The bytes of all pictures together.

    Raises:
        ValueError: for a wrong count or seed, or when the folder holds files that are not of this set.
    """
    digits = max(2, len(str(per_identity - 1)))
    paths = [folder / name / f"{k:0{digits}d}.png" for name in TARGET_NAMES for k in range(per_identity)]
    _refuse_strangers(folder, {*paths, folder / ABOUT})
    pictures_NHWC, _ = draw_split(split, per_identity, seed)
    total_bytes = 0
    for path, picture in zip(paths, pictures_NHWC, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = png_bytes(picture)
        path.write_bytes(stored)
        total_bytes += len(stored)
    about = json.dumps(_about(per_identity, seed, split), indent=2)
    (folder / ABOUT).write_text(about + "\n", encoding="utf-8")
    return total_bytes


def png_bytes(picture_HWC: Pictures) -> bytes:
    """Encode one RGB picture as the smallest PNG Pillow makes of it."""
    stored = io.BytesIO()
    Image.fromarray(picture_HWC).save(stored, format="PNG", optimize=True)
    return stored.getvalue()


def _refuse_strangers(folder: Path, expected: set[Path]) -> None:
    present = {path for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()
    if strangers := sorted(present - expected):
        first = strangers[0].relative_to(folder)
        raise ValueError(
            f"{folder} holds files that are not of this set, such as {first}; "
            "choose an empty folder or remove them first"
        )


def _about(per_identity: int, seed: int, split: str) -> dict[str, object]:
    chosen = f"--per-identity {per_identity} --seed {seed} --split {split}"
    return {
        "what": "Faces of invented people, drawn by the renderer in lab/faces; nobody is portrayed.",
        "command": f"siftfunnel faces --out DIR {chosen}",
        "split": split,
        "seed": seed,
        "per_identity": per_identity,
        "size": 64,
        "identities": list(TARGET_NAMES),
        "versions": {
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "pillow": version("pillow"),
        },
    }


def contact_sheet(
    per_identity: int, seed: int, split: str = "demo", columns: int = 10, zoom: int = 2
) -> Image.Image:
    """Show some pictures of each of the twenty with their names, on a transparent ground.

    Args:
        per_identity: pictures of each person, stacked under one another.
        seed: seed of the set.
        split: which of the splits.
        columns: people side by side.
        zoom: enlargement of the 64-pixel pictures.

    Returns:
        An RGBA image.

    Raises:
        ValueError: for a wrong count or seed.
    """
    pictures_NHWC, _ = draw_split(split, per_identity, seed)
    side = pictures_NHWC.shape[1] * zoom
    tall = per_identity * (side + _GAP) + _CAPTION + _GAP
    rows = -(-len(TARGET_NAMES) // columns)
    sheet = Image.new("RGBA", (columns * (side + _GAP) - _GAP, rows * tall - _GAP), (0, 0, 0, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_CAPTION - 3)
    for i, name in enumerate(TARGET_NAMES):
        left, top = (i % columns) * (side + _GAP), (i // columns) * tall
        for j in range(per_identity):
            tile = _rounded(pictures_NHWC[i * per_identity + j], zoom)
            sheet.paste(tile, (left, top + j * (side + _GAP)))
        caption = (left + side // 2, top + per_identity * (side + _GAP) + _CAPTION // 2 - 2)
        pen.text(caption, name, font=font, fill=(128, 128, 136, 255), anchor="mm")
    return sheet


def _rounded(picture_HWC: Pictures, zoom: int) -> Image.Image:
    side = picture_HWC.shape[0] * zoom
    tile = Image.fromarray(picture_HWC).resize((side, side), Image.Resampling.LANCZOS)
    corners = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), radius=32 * zoom, fill=255)
    tile.putalpha(corners.resize((side, side), Image.Resampling.BOX))
    return tile
