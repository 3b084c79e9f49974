from typing import Any

from siftfunnel.attacker.side_by_side import MAX_OPEN, Pair, SideBySide


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
    assert pairing.ripe(1.9) == []
    assert sides(pairing.ripe(2.0)) == [(1, ["open"])]


def test_while_two_networks_play_no_picture_is_shown_of_one_alone_however_late_the_other_is() -> None:
    pairing = SideBySide()
    shown = pairing.add({**view(0, "shut"), "pictures": None}, 0.0)
    for sequence in range(100):
        shown += pairing.add(view(sequence, "open"), sequence / 4)
        if sequence >= 20 and sequence % 10:  # five seconds late, and every tenth one gets lost
            shown += pairing.add(view(sequence - 20, "shut"), sequence / 4)
    assert {len(pair.views) for pair in shown} == {2}
    assert len(shown) > 60


def test_when_one_of_two_networks_stops_the_other_is_shown_alone() -> None:
    pairing = SideBySide()
    for sequence in range(10):
        pairing.add(view(sequence, "open"), sequence / 4)
        pairing.add(view(sequence, "shut"), sequence / 4)
    shown = [pair for sequence in range(10, 60) for pair in pairing.add(view(sequence, "open"), sequence / 4)]
    assert sides(shown)[-1][1] == ["open"]


def test_another_picture_under_the_same_number_is_another_pair() -> None:
    pairing = SideBySide()
    pairing.add(view(1, "open", "one"), 0.0)
    assert pairing.add(view(1, "shut", "another"), 0.1) == []
    (pair,) = pairing.add(view(1, "open", "another"), 0.2)
    assert [each["pictures"]["original"] for each in pair.views.values()] == ["another", "another"]


def test_networks_of_other_sizes_and_frames_without_originals_pair_by_number_alone() -> None:
    pairing = SideBySide()
    pairing.add(view(1, "open", "small", 32), 0.0)
    assert sides(pairing.add(view(1, "shut", "large", 64), 0.0)) == [(1, ["open", "shut"])]
    pairing.add(view(2, "open", None), 0.0)
    assert sides(pairing.add(view(2, "shut", None), 0.0)) == [(2, ["open", "shut"])]


def test_what_waits_is_bounded() -> None:
    pairing = SideBySide()
    for sequence in range(1000):
        pairing.add(view(sequence, "open" if sequence % 2 else "shut"), 0.0)
    assert len(pairing._open) == MAX_OPEN
