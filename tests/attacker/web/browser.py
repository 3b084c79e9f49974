"""A real browser on the page, and what its tests share."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from siftfunnel.shared.bundle import Bundle
from tests.attacker.scene import Scene
from tests.attacker.web.live import ARTIFACTS, LivePage, chromium

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=20_000)

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
NARROW = {"width": 360, "height": 740}
TOUCH = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}

Open = Callable[..., Any]
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def live(scene: Scene) -> Iterator[Callable[..., LivePage]]:
    pages: list[LivePage] = []

    def serve(**options: Any) -> LivePage:
        pages.append(LivePage(scene, **options))
        return pages[-1]

    yield serve
    for page in pages:
        page.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end nothing may have gone wrong in it, nor may it have asked another host."""
    contexts, complaints = [], []

    def watch(page: Any, url: str) -> None:
        page.on(
            "console",
            lambda said: complaints.append(said.text) if is_complaint(said) else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if is_foreign(asked.url, url) else None)

    def is_complaint(said: Any) -> bool:
        # A refusal that the page shows is told by the browser as well.
        return said.type in {"error", "warning"} and "422 (" not in said.text

    def is_foreign(asked: str, url: str) -> bool:
        return not asked.startswith((url, "data:", "blob:"))

    def start(
        live: LivePage, viewport: dict[str, int] | None = None, scheme: str = "light", **options: Any
    ) -> Any:
        context = browser.new_context(viewport=viewport or DESKTOP, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        watch(page, live.url)
        page.goto(live.url)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


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
