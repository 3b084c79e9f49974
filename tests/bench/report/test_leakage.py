import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.bench.report.leakage import Leakage, LeakageBook, more_leaked_db
from tests.bench.report import made

OWN, OPEN = made.DIGESTS["drawnfaces-siftfunnel"], made.DIGESTS["drawnfaces-unprotected"]
BUNDLE = "drawnfaces-siftfunnel"
INVERTER = {
    "report": {
        "codecs": {"fp32": {"psnr_mean": 22.5, "pictures": 100}, "r2": {"psnr_mean": 17.5, "pictures": 100}}
    }
}


@pytest.fixture
def book() -> LeakageBook:
    return LeakageBook([made.front()], {OWN: INVERTER})


@pytest.mark.parametrize(
    ("digest", "mode", "codec", "expected", "psnr_db"),
    [
        (OWN, "split", "q4", "through this codec", 16.4),
        (OWN, "raw-features", "fp32", "shipped inverter alone", 22.5),
        (OWN, "edge-only", "", "nothing sent", None),
        (OPEN, "cloud-only", "jpeg-75", "picture on the wire", 35.0),
        (OWN, "cloud-only", "webp-75", "picture on the wire", 34.0),
    ],
)
def test_a_cell_gets_the_nearest_measurement(
    book: LeakageBook, digest: str, mode: str, codec: str, expected: str, psnr_db: float | None
) -> None:
    known = book.of_way(BUNDLE, digest, mode, codec)
    assert known is not None
    assert (known.basis, known.psnr_db) == (expected, psnr_db)


@pytest.mark.parametrize(
    ("digest", "mode", "codec"),
    [
        (OPEN, "split", "q8"),
        (OPEN, "cloud-only", "jpeg-90"),
        ("c" * 64, "cloud-only", "jpeg-75"),
        ("c" * 64, "split", "q4"),
    ],
)
def test_what_nobody_measured_is_unknown_not_zero(
    book: LeakageBook, digest: str, mode: str, codec: str
) -> None:
    assert book.of_way(BUNDLE, digest, mode, codec) is None


def test_a_point_that_was_not_attacked_falls_back_to_the_inverter_on_what_that_codec_left(
    book: LeakageBook,
) -> None:
    known = book.of_way(BUNDLE, OWN, "split", "r2")
    assert known is not None
    assert (known.basis, known.psnr_db) == ("shipped inverter alone", 17.5)
    assert book.of_way(BUNDLE, OWN, "split", "r9") is None


def test_leaks_compare_within_one_basis_and_by_the_attacks_that_both_have_met() -> None:
    weak = Leakage("through this codec", "a", 18.0, attacks={"a": 18.0})
    strong = Leakage("through this codec", "b", 21.0, attacks={"a": 17.0, "b": 21.0})
    other = Leakage("through this codec", "c", 20.0, attacks={"c": 20.0})
    picture = Leakage("picture on the wire", "reading", 33.0, attacks={"reading": 33.0})
    nothing = Leakage("nothing sent", "", None)
    assert more_leaked_db(weak, strong) == 1.0
    assert more_leaked_db(strong, weak) == -1.0
    assert more_leaked_db(weak, other) is None
    assert more_leaked_db(picture, weak) is None
    assert more_leaked_db(nothing, picture) == -math.inf
    assert more_leaked_db(weak, nothing) == math.inf
    assert more_leaked_db(nothing, nothing) == 0.0


def test_the_text_says_what_was_measured(book: LeakageBook) -> None:
    told = [
        str(book.of_way(BUNDLE, OWN, *way)) for way in (("split", "q4"), ("split", "r2"), ("edge-only", ""))
    ]
    assert told == ["16.4 dB, 25% retrieved", "17.5 dB (shipped inverter alone)", "none: nothing sent"]


def test_where_no_front_has_a_picture_codec_it_is_measured_on_pictures(tmp_path: Path) -> None:
    (tmp_path / "drawnfaces").mkdir()
    ramp = np.linspace(0, 255, 32 * 32 * 3).astype(np.uint8).reshape(32, 32, 3)
    Image.fromarray(ramp).save(tmp_path / "drawnfaces" / "ramp.png")
    book = LeakageBook([], {}, tmp_path)
    good, bad = (book.of_way(BUNDLE, OWN, "cloud-only", codec) for codec in ("jpeg-95", "jpeg-5"))
    assert good is not None
    assert bad is not None
    assert (good.basis, good.pictures) == ("picture on the wire", 1)
    assert good.psnr_db is not None
    assert bad.psnr_db is not None
    assert good.psnr_db > bad.psnr_db + 5
    assert book.of_way("cifar10-siftfunnel", OWN, "cloud-only", "jpeg-95") is None
    assert book.of_way(BUNDLE, OWN, "cloud-only", "raw") is None
