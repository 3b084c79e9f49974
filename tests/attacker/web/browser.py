"""What tests of the page in a real browser share; the fixtures are in conftest.py."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from siftfunnel.shared.bundle import Bundle
from tests.attacker.scene import Scene
from tests.attacker.web.live import ARTIFACTS

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=20_000)

PHONE = {"width": 390, "height": 844}
NARROW = {"width": 360, "height": 740}
TOUCH = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}

Open = Callable[..., Any]


def keep(page: Any, name: str) -> None:
    """Keep a picture of the page for people."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"page-{name}.png", full_page=True)


def state(scene: Scene, **changes: Any) -> tuple[int, bytes]:
    """What the demo's conductor tells."""
    sides = [
        {"bundle": each.name, "title": title, "says": "", "codec": "q6", "codecs": CODECS}
        for each, title in ((scene.open, "Ordinary network"), (scene.shut, "SiftFunnel"))
    ]
    told = {
        "pair": sides,
        "choices": [
            {"bundles": [scene.open.name, scene.shut.name], "title": "both"},
            {"bundles": [scene.open.name], "title": "one alone"},
        ],
        "in_turn": True,
        "tls": False,
        "pictures": "demo",
        "parties": {"cloud": "up", "edge": "up"},
    }
    return 200, json.dumps(told | changes).encode()


CODECS = [{"name": name, "says": "…"} for name in ("fp32", "q6", "q4")]


def lane(page: Any, bundle: Bundle) -> Any:
    """The part of the page that shows one network."""
    return page.locator(f'.lane[data-bundle="{bundle.name}"]')
