"""The page in a real browser, and a demo behind it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from siftfunnel.attacker.web import hub
from tests.attacker.scene import Scene
from tests.attacker.web.fakedemo import FakeDemo
from tests.attacker.web.live import LivePage, chromium

DESKTOP = {"width": 1440, "height": 900}
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # not for longer: while Playwright runs, the thread's event loop is its own, and other files need theirs
    sync_api = pytest.importorskip("playwright.sync_api")
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def live(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LivePage]]:
    # as many pairs in a tenth of the time
    monkeypatch.setattr(hub, "KEEP_EVERY_S", hub.KEEP_EVERY_S / 10)
    monkeypatch.setattr(hub, "KEPT_AGAIN_S", hub.KEPT_AGAIN_S / 10)
    pages: list[LivePage] = []

    def serve(**options: Any) -> LivePage:
        pages.append(LivePage(scene, **options))
        return pages[-1]

    yield serve
    for page in pages:
        page.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
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


@pytest.fixture
def demo() -> Iterator[FakeDemo]:
    fake = FakeDemo()
    yield fake
    fake.close()
