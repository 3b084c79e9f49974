"""The shipped set: complete, small, and what the renderer draws."""

import argparse
import hashlib
import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siftfunnel.lab.faces import TARGET_NAMES, draw_auxiliary, draw_split, make_identity, render
from siftfunnel.lab.faces.cli import add_faces_parser
from siftfunnel.lab.faces.hairstyles import HAIRSTYLES
from siftfunnel.lab.faces.identity import BEARDS, GLASSES
from siftfunnel.lab.faces.sets import Pictures
from tests.lab.faces.comparing import difference

SHIPPED = Path(str(files("siftfunnel"))) / "assets" / "images" / "drawnfaces"


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_faces_parser(parser.add_subparsers())
    args = parser.parse_args(["faces", *arguments])
    return int(args.run(args))


def _read(path: Path) -> Pictures:
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("RGB", (64, 64))
        return np.asarray(picture)


def test_the_shipped_set_holds_twelve_pictures_of_everyone_and_stays_small() -> None:
    assert sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()) == list(TARGET_NAMES)
    for name in TARGET_NAMES:
        assert sorted(path.name for path in (SHIPPED / name).iterdir()) == [f"{i:02d}.png" for i in range(12)]
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.png")) < 2_500_000


def test_the_shipped_set_is_what_the_renderer_draws() -> None:
    """Equal but for rounding: other versions of Pillow rasterise a few edge pixels otherwise.

    Measured: Pillow 11.3 draws the bytes of Pillow 13.0; Pillow 10.3 differs by 0.25 grey levels at most.
    """
    about = json.loads((SHIPPED / "ABOUT.json").read_text(encoding="utf-8"))
    assert about["identities"] == list(TARGET_NAMES)
    same_versions = about["versions"]["pillow"] == version("pillow")
    drawn, _ = draw_split(about["split"], 1, about["seed"])
    for i, name in enumerate(TARGET_NAMES):
        stored = _read(SHIPPED / name / "00.png")
        assert difference(stored, drawn[i]) <= (0.02 if same_versions else 0.5)


def test_pictures_are_drawn_to_the_last_bit_as_they_ever_were() -> None:
    about = json.loads((SHIPPED / "ABOUT.json").read_text(encoding="utf-8"))
    if any(version(name) != about["versions"][name] for name in ("numpy", "pillow")):
        pytest.skip("other versions of NumPy or Pillow draw a few edge pixels otherwise")
    seen = hashlib.sha256()
    for index, style in enumerate(HAIRSTYLES):
        beard, glasses = BEARDS[index % len(BEARDS)], GLASSES[index % len(GLASSES)]
        person = make_identity(7, hair_style=style, beard=beard, glasses=glasses, age=0.95)
        seen.update(render(person, np.random.default_rng(3)).tobytes())
    seen.update(draw_split("train", 1, 5)[0].tobytes())
    seen.update(draw_auxiliary(20, 1, 5)[0].tobytes())
    assert seen.hexdigest() == "6bb684ebb1db8796646bea4f81bc5d95d4e9e7e3b8f8da18f75067b394c3321c"


def test_the_command_draws_class_folders_with_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    assert _run("--out", str(out), "--per-identity", "1", "--seed", "4") == 0
    drawn, _ = draw_split("demo", 1, seed=4)
    assert np.array_equal(_read(out / "boris" / "00.png"), drawn[1])
    about = json.loads((out / "ABOUT.json").read_text(encoding="utf-8"))
    assert about["command"] == "siftfunnel faces --out DIR --per-identity 1 --seed 4 --split demo"
    assert about["versions"]["pillow"] == version("pillow")
    assert "20 pictures" in capsys.readouterr().out


def test_drawing_again_replaces_the_set_and_refuses_a_folder_of_other_things(tmp_path: Path) -> None:
    assert _run("--out", str(tmp_path), "--per-identity", "1") == 0
    assert _run("--out", str(tmp_path), "--per-identity", "1", "--seed", "2") == 0
    (tmp_path / "ada" / "holiday.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"such as ada/holiday\.png; choose an empty folder"):
        _run("--out", str(tmp_path), "--per-identity", "1")


def test_the_sheet_shows_everyone(tmp_path: Path) -> None:
    sheet = tmp_path / "pictures" / "sheet.png"
    assert _run("--sheet", str(sheet), "--per-identity", "1") == 0
    with Image.open(sheet) as picture:
        assert picture.mode == "RGBA"
        assert picture.size == (10 * 128 + 9 * 6, 2 * (128 + 6 + 16 + 6) - 6)


def test_wrong_arguments_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="give --out DIR, --sheet FILE or both"):
        _run()
    with pytest.raises(ValueError, match="seed must not be negative, got -3"):
        _run("--out", str(tmp_path), "--seed", "-3")
    with pytest.raises(SystemExit):
        _run("--out", str(tmp_path), "--per-identity", "none")
    assert "needs a whole number of at least 1, got 'none'" in capsys.readouterr().err
