import base64
import io

import numpy as np
import pytest
from PIL import Image

from siftfunnel.attacker import gallery as rules
from siftfunnel.attacker.gallery import Gallery
from siftfunnel.attacker.preview import Truth

DIGEST = "ab" * 32


def truth(level: int, label: str | None = None, side: int = 8) -> Truth:
    return Truth(DIGEST, level, 0.0, label, np.full((side, side, 3), level, np.uint8), 0)


def vector(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def learn(known: Gallery, level: int, *values: float, label: str | None = None, side: int = 8) -> None:
    known.learn(DIGEST, "embedding", vector(*values), truth(level, label, side))


def test_the_nearest_known_pictures_come_first_with_their_similarity() -> None:
    known = Gallery()
    assert known.nearest(DIGEST, "embedding", vector(1, 0), None) == {"known": 0, "nearest": []}
    learn(known, 1, 1, 0, label="ada")
    learn(known, 2, 0, 3, label="boris")
    learn(known, 3, 5, 5, label="chidi")
    told = known.nearest(DIGEST, "embedding", vector(-2, 0.2), truth(4))
    assert told["known"] == 3
    assert [each["label"] for each in told["nearest"]] == ["boris", "chidi", "ada"]
    assert told["nearest"][-1]["similarity"] == pytest.approx(-1, abs=0.01)
    thumbnail = Image.open(io.BytesIO(base64.b64decode(told["nearest"][0]["picture"].partition(",")[2])))
    assert np.asarray(thumbnail)[0, 0].tolist() == [2, 2, 2]


def test_a_picture_that_comes_again_is_not_its_own_neighbour() -> None:
    known = Gallery()
    for _ in range(3):
        learn(known, 1, 1, 0)
    assert known.nearest(DIGEST, "embedding", vector(1, 0), truth(1)) == {"known": 0, "nearest": []}
    told = known.nearest(DIGEST, "embedding", vector(1, 0), None)
    assert (told["known"], told["nearest"][0]["similarity"]) == (1, 1.0)


def test_embeddings_of_other_networks_and_outputs_are_not_compared() -> None:
    known = Gallery()
    learn(known, 1, 1, 0)
    assert known.nearest("cd" * 32, "embedding", vector(1, 0), truth(2))["known"] == 0
    assert known.nearest(DIGEST, "other", vector(1, 0), truth(2))["known"] == 0


@pytest.mark.parametrize("values", [vector(0, 0), vector(np.nan, 1), vector(np.inf, 1), np.ones(20_000)])
def test_what_has_no_direction_or_is_too_long_is_no_neighbour(values: np.ndarray) -> None:
    known = Gallery()
    known.learn(DIGEST, "embedding", values, truth(1))
    assert known.nearest(DIGEST, "embedding", vector(1, 0), truth(2))["known"] == 0
    learn(known, 2, 1, 0)
    assert known.nearest(DIGEST, "embedding", values, truth(3)) == {"known": 0, "nearest": []}


def test_what_is_known_is_bounded_and_its_thumbnails_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_KNOWN", 5)
    monkeypatch.setattr(rules, "MAX_NETWORKS", 2)
    known = Gallery()
    for level in range(20):
        learn(known, level, 1, level, side=300)
    told = known.nearest(DIGEST, "embedding", vector(1, 0), None)
    assert told["known"] == 5
    assert len(told["nearest"][0]["picture"]) < 64 * 64 * 3 * 1.5
    for other in ("x", "y"):
        known.learn(DIGEST, other, vector(1), truth(0))
    assert known.nearest(DIGEST, "embedding", vector(1, 0), None)["known"] == 0
