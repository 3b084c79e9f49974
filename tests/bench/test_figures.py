"""The bench measures real processes; its figures are never asserted, their arithmetic and their shape are."""

import json

from PIL import Image

from siftfunnel.cli import main
from tests.tinybundle import make_tiny_bundle


def test_figures_against_a_real_server(tmp_path):
    bundle = make_tiny_bundle(tmp_path / "tiny")
    picture = tmp_path / "grey.png"
    Image.new("RGB", (40, 30), "grey").save(picture)
    out = tmp_path / "figures.json"
    arguments = [
        "bench",
        "figures",
        "--bundle",
        str(bundle.directory),
        "--picture",
        str(picture),
        "--out",
        str(out),
    ]
    parts = ["--only", "first-answer", "--only", "stream", "--codec", "q4", "--frames", "64"]
    assert main([*arguments, *parts]) == 0
    result = json.loads(out.read_text())
    assert result["digest"] == bundle.digest
    assert result["first_answer"]["rounds"] == 5
    assert [row["codec"] for row in result["stream"]] == ["q4"]
    assert result["stream"][0]["stream_frames_per_s"] > 0
    assert result["provenance"]["machine"]["cores"] >= 1
