"""What all tests of the room share."""

import pytest

from siftfunnel.lab.split import picture_codecs


@pytest.fixture(autouse=True)
def few_qualities(monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG and WebP at three qualities: curves are as long as they need to be to be read."""
    monkeypatch.setattr(picture_codecs, "QUALITIES", (95, 50, 8))
