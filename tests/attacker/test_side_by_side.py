from typing import Any

from attacker.side_by_side import Pair, SideBySide


def view(sequence: int, digest: str, original: str | None = "picture", size: int = 32) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "digest": digest,
        "bundle": digest,
        "defended": digest != "open",
        "label": "ada",
        "jpeg_bytes": 900,
        "original_size": [size, size] if original else None,
        "pictures": {"original": original, "feature": "f", "reconstruction": "r"},
    }


def sides(pairs: list[Pair]) -> list[tuple[int, list[str]]]:
    return [(pair.sequence, sorted(pair.views)) for pair in pairs]


def test_the_same_picture_through_two_networks_is_one_pair_whichever_comes_first() -> None:
    pairing = SideBySide()
    for digest in ("shut", "open"):
        pairing.add({**view(0, digest), "pictures": None}, 0.0)
    assert sides(pairing.add(view(1, "shut"), 0.0)) == []
    assert sides(pairing.add(view(2, "shut"), 0.1)) == []
    assert sides(pairing.add(view(1, "open"), 0.2)) == [(1, ["open", "shut"])]
    (pair,) = pairing.add(view(2, "open"), 0.2)
    told = pair.as_json()
    assert told["original"] == "picture"
    assert [side["digest"] for side in told["sides"]] == ["open", "shut"]
    assert [side["pictures"]["original"] for side in told["sides"]] == [None, None]


def test_three_networks_are_one_pair_of_three() -> None:
    pairing = SideBySide()
    for digest in ("open", "shut", "third"):
        pairing.add({**view(0, digest), "pictures": None}, 0.0)
    assert pairing.add(view(1, "open"), 0.0) == []
    assert pairing.add(view(1, "third"), 0.0) == []
    assert sides(pairing.add(view(1, "shut"), 0.0)) == [(1, ["open", "shut", "third"])]


def test_frames_of_one_network_are_shown_alone_after_their_patience() -> None:
    pairing = SideBySide()
    assert pairing.add(view(1, "open"), 0.0) == []
    assert pairing.ripe(0.9) == []
    assert sides(pairing.ripe(1.0)) == [(1, ["open"])]


def test_another_picture_under_the_same_number_is_another_pair() -> None:
    pairing = SideBySide()
    pairing.add(view(1, "open", "one"), 0.0)
    assert sides(pairing.add(view(1, "shut", "another"), 0.1)) == [(1, ["open"])]
    assert sides(pairing.add(view(1, "open", "another"), 0.2)) == [(1, ["open", "shut"])]


def test_the_same_network_again_under_the_same_number_is_another_pair() -> None:
    pairing = SideBySide()
    pairing.add(view(1, "open"), 0.0)
    assert sides(pairing.add(view(1, "open"), 0.1)) == [(1, ["open"])]


def test_networks_of_other_sizes_and_frames_without_originals_pair_by_number_alone() -> None:
    pairing = SideBySide()
    pairing.add(view(1, "open", "small", 32), 0.0)
    assert sides(pairing.add(view(1, "shut", "large", 64), 0.0)) == [(1, ["open", "shut"])]
    pairing.add(view(2, "open", None), 0.0)
    assert sides(pairing.add(view(2, "shut", None), 0.0)) == [(2, ["open", "shut"])]


def test_what_waits_is_bounded() -> None:
    pairing = SideBySide()
    shown = [pair for sequence in range(100) for pair in pairing.add(view(sequence, "open"), 0.0)]
    assert len(shown) == 100 - 32
