from pathlib import Path

import pytest
from PIL import Image

from siftfunnel.lab.split import api as split
from tests.lab.split.smallnets import residual, save


def test_the_surface_takes_a_network_from_its_file_to_two_halves(tmp_path: Path) -> None:
    Image.effect_noise((20, 16), 60).convert("RGB").save(tmp_path / "one.png")
    network = split.load_network(save(residual(), tmp_path))
    cut = next(cut for cut in split.find_cuts(network) if cut.is_sensible)
    both = split.halves(network, split.cut_named(network, cut.name))
    assert both.difference == pytest.approx(0, abs=1e-6)
    pictures = split.read_pictures(tmp_path, None)
    findings = split.check(network, split.all_presets(network.input), pictures)
    assert findings[0].preset == "imagenet"
    assert all(hasattr(split, name) for name in split.__all__)
