import io

import numpy as np
import pytest
from PIL import Image

from siftfunnel.attacker.pictures import address as address_of
from siftfunnel.attacker.sheet import history_gif, pair_sheet
from siftfunnel.attacker.side_by_side import Pair


def address(level: int, side: int = 32) -> str:
    return address_of(Image.fromarray(np.full((side, side, 3), level, np.uint8), "RGB"))


def pair(number: int, networks: int = 2, scored: bool = True, level: int = 40) -> Pair:
    views = {
        f"network {place}": {
            "digest": f"network {place}",
            "bundle": f"network {place}",
            "defended": place > 0,
            "label": "ada",
            "jpeg_bytes": 900,
            "payload_bytes": 1234,
            "codec": "q4",
            "similarity": {"psnr": 21.5, "ssim": 0.5, "mse": 0.01} if scored else None,
            "pictures": {
                "original": address(200) if scored else None,
                "features": [{"name": "feature", "shape": [1, 8, 8], "picture": address(level)}],
                "reconstruction": address(120 + place) if scored else None,
            },
        }
        for place in range(networks)
    }
    return Pair(number, number, 0.0, views)


def colours(sheet: Image.Image) -> set[object]:
    return {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20) or ()}


def test_a_sheet_holds_the_picture_and_what_each_network_made_of_it() -> None:
    sheet = pair_sheet(pair(1), str.title)
    assert {(200, 200, 200), (40, 40, 40), (120, 120, 120), (121, 121, 121)} <= colours(sheet)
    assert pair_sheet(pair(1, networks=3), str.title).height > sheet.height


def test_several_tensors_lie_in_one_tile_each_in_its_own_colour() -> None:
    made = pair(1, networks=1)
    levels = (10, 60, 90, 150)
    groups = [{"name": str(level), "shape": [1], "picture": address(level)} for level in levels]
    made.views["network 0"]["pictures"]["features"] = groups
    seen = colours(pair_sheet(made, str))
    assert all((level, level, level) in seen for level in levels)


def test_what_is_unknown_leaves_a_gap_and_no_accident() -> None:
    assert (200, 200, 200) not in colours(pair_sheet(pair(1, scored=False), str.title))


def test_the_gif_shows_every_pair_and_goes_round() -> None:
    pairs = [pair(number, networks=1 + number % 2, level=10 + 20 * number) for number in range(5)]
    moving = Image.open(io.BytesIO(history_gif(pairs, str.title)))
    assert (moving.format, moving.n_frames, moving.info["loop"]) == ("GIF", 5, 0)  # type: ignore[attr-defined]


def test_a_gif_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no pairs yet"):
        history_gif([], str.title)
