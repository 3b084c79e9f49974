"""The page in a real browser."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attacker.knowledge import gather
from shared.bundle import Bundle
from tests.attacker.scene import Scene, eventually
from tests.attacker.web.live import ARTIFACTS, LivePage, chromium
from tests.attacker.web.test_conductor import FakeDemo, demo
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=20_000)

__all__ = ["demo"]

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
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
            lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if is_foreign(asked.url, url) else None)

    def is_foreign(asked: str, url: str) -> bool:
        return not asked.startswith((url, "data:"))

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


def test_a_frame_appears_with_all_that_the_attacker_got(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    expect(page.locator("#headline")).to_have_text("Waiting for the first frame.")
    stage.play(scene.open, 6, gap_s=0.2)
    stage.play(scene.shut, 6, gap_s=0.2)
    page.locator("#chart-psnr").hover()
    expect(page.locator("#readout")).to_contain_text(re.compile(r"Frame \d+: PSNR .* people-"))
    for picture in ("original", "feature", "reconstruction"):
        expect(page.locator(f"#{picture}")).to_be_visible()
        assert page.locator(f"#{picture}").evaluate("image => image.naturalWidth") > 16
    expect(page.locator("#answer")).to_have_text(re.compile("ada|boris|chidi"))
    expect(page.locator("#answer-mark")).to_have_text("✓ right")
    expect(page.locator("#reconstruction-note")).to_contain_text(re.compile(r"PSNR \d+\.\d dB, SSIM"))
    expect(page.locator("#feature-note")).to_contain_text("as q6")
    expect(page.locator("#headline")).to_contain_text("With people-siftfunnel, the eavesdropper gets")
    expect(page.locator("#evidence")).to_contain_text(
        re.compile("(more|less|no different) .*people-unprotected")
    )
    expect(page.locator("#secret")).to_contain_text("the answer itself is the secret")
    expect(page.locator("#table tr")).to_have_count(2)
    expect(page.locator("#key li")).to_have_count(2)
    expect(page.locator("#chart-psnr polyline")).to_have_count(2)
    expect(page.locator("#bars li.own")).to_have_count(2)
    expect(page.locator("#taps li")).to_have_count(2)
    expect(page.locator("#switches")).to_be_hidden()
    expect(page.locator("#problems")).to_be_hidden()
    keep(page, "light")


def test_the_table_says_what_the_summary_says(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, 5)
    row = page.locator("#table tr")
    expect(row.locator("td").nth(1)).to_have_text("5")
    expect(row.locator("td").nth(7)).to_contain_text("of 5")
    told = page.request.get(stage.url + "summary").json()["bundles"][scene.open.name]
    expect(row.locator("td").nth(2)).to_have_text(f"{told['wire_bytes_mean']:.0f}")
    expect(row.locator("td").nth(4)).to_contain_text(f"{told['psnr_mean']:.1f}")
    expect(row.locator("td").nth(5)).to_have_text(f"{told['ssim_mean']:.3f}")


def test_a_phone_shows_everything_without_scrolling_sideways(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage, PHONE, "dark", device_scale_factor=2, has_touch=True)
    stage.play(scene.open, 4)
    stage.play(scene.shut, 4)
    expect(page.locator("#table tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.locator("#reconstruction")).to_be_in_viewport()
    keep(page, "phone")


def test_dark_follows_the_system_and_the_toggle_outlives_a_reload(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage, scheme="dark")

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(13, 16, 20)"
    stage.play(scene.shut, 3)
    expect(page.locator("#reconstruction")).to_be_visible()
    keep(page, "dark")
    page.get_by_role("button", name="Light").click()
    assert background() == "rgb(243, 241, 234)"
    page.reload()
    assert background() == "rgb(243, 241, 234)"
    page.keyboard.press("t")
    assert background() == "rgb(13, 16, 20)"


def test_under_tls_the_page_shows_what_is_left_and_what_the_cloud_still_sees(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, 2)
    expect(page.locator("#reconstruction")).to_be_visible()
    stage.play_encrypted(10)
    expect(page.locator("#headline")).to_have_text("Encrypted: sizes and times are what is left to see.")
    expect(page.locator("#reconstruction")).to_be_hidden()
    expect(page.locator("#records rect.up")).to_have_count(10)
    assert page.locator("#feature").evaluate("image => image.naturalWidth") == 37
    expect(page.locator("#feature-note")).to_contain_text(
        re.compile(r"1,400 bytes of ciphertext([0-9a-f]{2} ){12}…")
    )
    stage.play(scene.open, 2, tap=stage.cloud)
    stage.play_encrypted(2)
    expect(page.locator("#cloud")).to_be_visible()
    assert page.locator("#cloud-reconstruction").evaluate("image => image.naturalWidth") == 32
    expect(page.locator("#answer-title")).to_have_text("The answer the cloud gave")
    expect(page.locator("#secret")).to_contain_text("TLS keeps it from the wire")
    keep(page, "tls")
    stage.play(scene.open, 2)
    expect(page.locator("#reconstruction")).to_be_visible()
    expect(page.locator("#cloud")).to_be_hidden()


def test_a_page_that_comes_late_sees_the_latest_pairs(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    stage.play(scene.open, 14, gap_s=0.1)
    page = open_page(stage)
    expect(page.locator("#history li")).to_have_count(12)
    expect(page.locator("#chart-ssim polyline")).to_have_count(1)


def test_held_pictures_stay_while_the_figures_go_on(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open)
    expect(page.locator("#original")).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    before = page.locator("#original").get_attribute("src")
    stage.play(scene.open, 4)
    expect(page.locator("#table td").nth(1)).to_have_text("5")
    assert page.locator("#original").get_attribute("src") == before
    page.get_by_role("button", name="Held").click()
    expect(page.locator("#original")).not_to_have_attribute("src", before)


def test_a_switch_is_a_wish_until_the_conductor_confirms_it(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    def state(bundle: str) -> tuple[int, bytes]:
        names = [{"name": each.name} for each in (scene.open, scene.shut)]
        told = {"bundle": bundle, "codec": "q6", "tls": False, "codecs": ["q6", "q4"], "bundles": names}
        return 200, json.dumps(told).encode()

    demo.answer = state(scene.open.name)
    page = open_page(live(control=demo.url))
    shut = page.get_by_label(scene.shut.name)
    expect(page.get_by_label(scene.open.name)).to_be_checked()
    shut.check(force=True)
    expect(page.locator("#pick-bundle")).to_have_class(re.compile("waiting"))
    expect(page.locator("#wish")).to_contain_text("waiting until it has switched")
    assert eventually(lambda: ("POST", "/switch", {"bundle": scene.shut.name}) in demo.asked)
    demo.answer = state(scene.shut.name)
    expect(page.locator("#pick-bundle")).not_to_have_class(re.compile("waiting"))
    expect(shut).to_be_checked()
    shut.click(force=True)
    assert eventually(lambda: demo.asked.count(("POST", "/switch", {"bundle": scene.shut.name})) == 2)
    page.get_by_label("q6").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#pick-codec")).to_have_class(re.compile("waiting"))
    keep(page, "switches")


def test_without_an_inverter_the_page_says_so(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live(knowledge=gather([scene.bundles], []))
    page = open_page(stage)
    stage.play(scene.open, 2)
    expect(page.locator("#feature")).to_be_visible()
    expect(page.locator("#reconstruction-empty")).to_contain_text("No inverter for people-unprotected")
    expect(page.locator("#evidence")).to_contain_text("no inverter for this bundle")
    expect(page.locator("#problem-list")).to_contain_text("siftfunnel lab inverter")


def test_names_are_text_whatever_they_say(
    live: Callable[..., LivePage], open_page: Open, tmp_path: Path, scene: Scene
) -> None:
    hostile = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "a & b")
    bundle: Bundle = make_tiny_bundle(tmp_path / "bundles" / "odd", "odd", hostile)
    make_tiny_inverter(tmp_path / "inverters" / "odd", bundle)
    stage = live(knowledge=gather([tmp_path / "bundles"], [tmp_path / "inverters"]))
    page = open_page(stage)
    stage.play(bundle)
    expect(page.locator("#answer")).to_have_text(hostile[0])
    assert page.locator("#answer *").count() == 0


def test_the_verdict_claims_no_more_than_the_numbers(live: Callable[..., LivePage], open_page: Open) -> None:
    page = open_page(live())

    def likeness(psnr: float, level: float | None) -> str:
        return str(
            page.evaluate("([p, l]) => import('./verdict.js').then(v => v.likeness(p, l))", [psnr, level])
        )

    assert likeness(30.0, 12.0) == "gets the picture, details included"
    assert likeness(24.0, 12.0) == "gets a good likeness of the picture"
    assert likeness(23.9, 12.0) == "gets a blurred likeness of the picture"
    assert likeness(15.0, 12.0) == "gets only a coarse impression of the picture"
    assert likeness(12.5, 12.0).startswith("gets about as close as the average picture would")
    assert likeness(12.5, None) == "gets only a coarse impression of the picture"
    said = page.content() + "".join(
        page.request.get(page.url + name).text() for name in ("verdict.js", "app.js")
    )
    assert not re.search(
        r"\b(safe|secure|anonymous|private)\b", re.sub(r"private mode", "", said), re.IGNORECASE
    )
