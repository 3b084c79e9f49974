from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.split.checking import check, most_likely, odd, read_pictures, true_classes
from siftfunnel.lab.split.labels import class_places
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.presets import all_presets
from tests.lab.split.smallnets import graph, network, node

COLOURS = {"blue": (20, 30, 220), "green": (30, 220, 20), "red": (220, 20, 30)}


def _of_colours(kind: str = "logits") -> Network:
    """Names the strongest of red, green, blue, where its input is red, green, blue around zero."""
    last = {"logits": "Identity", "probabilities": "Softmax", "embedding": "LpNormalization"}[kind]
    nodes = [
        node("Clip", "image low high", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f w", "g"),
        node(last, "g", "out", **({"axis": 1} if kind == "embedding" else {})),
    ]
    weights = {"low": np.float32(-1), "high": np.float32(1), "w": 4 * np.eye(3, dtype=np.float32)}
    return network(graph(nodes, {name: np.asarray(value) for name, value in weights.items()}))


def _folder(place: Path) -> Path:
    for name, colour in COLOURS.items():
        (place / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (12, 10 + number), colour).save(place / name / f"{name}{number}.png")
    return place


def test_accuracies_of_presets_lie_side_by_side_and_the_wrong_ones_are_seen(tmp_path: Path) -> None:
    net, pictures = _of_colours(), read_pictures(_folder(tmp_path / "in"), None)
    classes = ("red", "green", "blue")
    truth = true_classes(pictures, net.scores, (), classes)
    found = check(net, all_presets(net.input), pictures, classes=classes, truth=truth)
    accuracies = {finding.preset: finding.figures["accuracy"] for finding in found}
    assert accuracies["minus-one-to-one"] == accuracies["zero-to-one"] == 1
    assert accuracies["raw"] < 0.5
    assert accuracies["caffe-bgr"] < 0.5
    best = most_likely(found)
    assert best is not None
    assert best.figures["accuracy"] == 1
    assert best.said[0].startswith("blue ")
    assert most_likely(check(net, all_presets(net.input), pictures)) is None


def test_labels_are_ids_names_numbers_or_folders_in_order(tmp_path: Path) -> None:
    net, pictures = _of_colours(), read_pictures(_folder(tmp_path / "in"), None)
    by_folder = true_classes(pictures, net.scores, (), ())
    assert by_folder is not None
    assert by_folder.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    by_id = true_classes(pictures, net.scores, ("green", "red", "blue"), ("crane", "crane", "sea"))
    assert by_id is not None
    assert by_id.tolist() == [2, 2, 2, 0, 0, 0, 1, 1, 1]
    assert true_classes(pictures, net.scores, (), ("crane", "crane", "sea")) is None


def test_numbers_are_classes_beside_names_and_never_sorted_as_words() -> None:
    twelve = [str(number) for number in range(12)]
    assert class_places(twelve, 12, (), ()).tolist() == list(range(12))
    assert class_places(["2", "0", "9"], 3, (), ("red", "green", "blue")).tolist() == [2, 0, -1]
    # names of other classes that happen to be numbers go before numbers
    assert class_places(["7", "3"], 2, (), ("3", "7")).tolist() == [1, 0]


def test_a_table_of_labels_goes_before_folders(tmp_path: Path) -> None:
    place = _folder(tmp_path / "in")
    (tmp_path / "labels.csv").write_text("blue0.png,2\nred1.png,0\n")
    pictures = read_pictures(place, tmp_path / "labels.csv")
    truth = true_classes(pictures, _of_colours().scores, ("0", "1", "2"), ("r", "g", "b"))
    assert truth is not None
    assert {name: int(c) for name, c in zip(pictures.names, truth, strict=True) if c >= 0} == {
        "blue0.png": 2,
        "red1.png": 0,
    }
    (tmp_path / "labels.csv").write_text("blue0.png\n")
    with pytest.raises(DataError, match="NAME,LABEL"):
        read_pictures(place, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("kind", "figure"),
    [("probabilities", "mean confidence"), ("embedding", "out: mean likeness of two pictures")],
)
def test_outputs_of_other_kinds_have_figures_of_their_own(tmp_path: Path, kind: str, figure: str) -> None:
    net, pictures = _of_colours(kind), read_pictures(_folder(tmp_path / "in"), None)
    for finding in check(net, all_presets(net.input), pictures):
        assert -1 <= finding.figures[figure] <= 1
        assert len(finding.said) == 9


def test_pictures_that_do_not_suit_are_named(tmp_path: Path) -> None:
    place = _folder(tmp_path / "in")
    Image.new("L", (4, 4)).save(place / "small.png")
    (place / "broken.png").write_bytes(b"no picture")
    pictures = read_pictures(place, None)
    assert len(pictures.images) == 10
    assert ["broken.png" in skipped for skipped in pictures.skipped] == [True]
    assert odd(pictures, _of_colours()) == (
        "1 of 10 pictures are smaller than the input, 8x8",
        "1 of 10 pictures are grey, the network takes colours",
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no picture in it"):
        read_pictures(tmp_path / "none", None)
