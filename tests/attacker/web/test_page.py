"""The page in a real browser."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

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


def test_the_same_picture_goes_through_both_networks_side_by_side(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    expect(page.locator("#headline")).to_have_text("Waiting for the first frame.")
    stage.play(scene.shut, scene.open, count=8, gap_s=0.2)
    expect(page.locator("#lanes .lane")).to_have_count(2)
    assert [page.locator("#lanes h3").nth(place).inner_text() for place in (0, 1)] == [
        "Ordinary network",
        "SiftFunnel",
    ]
    assert page.locator("#original").evaluate("image => image.naturalWidth") == 32
    for bundle in (scene.open, scene.shut):
        for picture in ("wire", "rebuilt"):
            image = lane(page, bundle).locator(f".{picture} img")
            expect(image).to_be_visible()
            assert image.evaluate("image => image.naturalWidth") > 16
        expect(lane(page, bundle).locator(".says")).to_contain_text("Instead of the photo, the phone sends")
        expect(lane(page, bundle).locator(".wire .explain").last).to_contain_text(
            re.compile(r"[\d,]+ bytes as q6")
        )
        expect(lane(page, bundle).locator(".rebuilt .explain").last).to_contain_text(
            re.compile(r"PSNR \d+\.\d dB")
        )
    expect(page.locator("#headline")).to_contain_text("the eavesdropper gets")
    expect(page.locator("#evidence")).to_contain_text(re.compile(r"Over \d+.* pictures: PSNR .* and "))
    expect(page.locator("#answers li")).to_have_count(2)
    expect(page.locator("#answers .right").first).to_have_text("✓ right")
    expect(page.locator("#secret")).to_contain_text("the answer itself is the secret")
    expect(page.locator("#chart-psnr polyline")).to_have_count(2)
    expect(page.locator("#bars li.own")).to_have_count(2)
    expect(page.locator("#taps li")).to_have_count(2)
    expect(page.locator("#switches")).to_be_hidden()
    expect(page.locator("#source")).to_be_hidden()
    expect(page.locator("#problems")).to_be_hidden()
    page.locator("#chart-psnr").hover()
    expect(page.locator("#readout")).to_contain_text(
        re.compile(r"Picture \d+: .*Ordinary network.*SiftFunnel")
    )
    keep(page, "light")


def test_one_network_alone_is_shown_as_one(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, count=4)
    expect(page.locator("#lanes .lane")).to_have_count(1)
    expect(page.locator("#headline")).to_contain_text("Through the ordinary network the eavesdropper gets")


def test_figures_of_one_codec_do_not_move_when_another_one_plays(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=3)
    row = page.locator("#table tr", has_text="SiftFunnel").filter(has_text="q6")
    expect(row.locator("td").nth(3)).to_have_text("3")
    before = row.locator("td").nth(4).inner_text()
    stage.play(scene.open, scene.shut, count=5, codec="fp32")
    expect(page.locator("#table tr")).to_have_count(4)
    other = page.locator("#table tr", has_text="SiftFunnel").filter(has_text="fp32")
    expect(other.locator("td").nth(3)).to_have_text("5")
    assert row.locator("td").nth(4).inner_text() == before
    told = page.request.get(stage.url + "summary").json()["bundles"][scene.shut.name]["taps"]
    expect(other.locator("td").nth(4)).to_have_text(
        f"{told[stage.relay.name]['fp32']['wire_bytes_mean']:.0f}"
    )


def test_on_a_phone_all_is_in_order_in_sight_and_within_reach_of_a_finger(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    stage = live(control=demo.url)
    page = open_page(stage, PHONE, "dark", **TOUCH)
    stage.play(scene.open, scene.shut, count=4)
    expect(page.locator("#table tr")).to_have_count(2)
    parts = ["#headline", "#original", f'[data-bundle="{scene.shut.name}"] .wire img']
    parts += [f'[data-bundle="{scene.shut.name}"] .rebuilt img', "#evidence", "#switches", "#history"]
    for bundle in (scene.open, scene.shut):
        expect(lane(page, bundle).locator(".rebuilt img")).to_be_visible()
    tops = page.evaluate(TOPS, parts)
    assert tops == sorted(tops)
    for bundle in (scene.open, scene.shut):
        expect(lane(page, bundle).locator(".rebuilt img")).to_be_in_viewport()
    expect(page.locator("#to-switches")).to_be_in_viewport()
    expect(page.locator("#hold")).to_be_in_viewport()
    wire = page.evaluate(
        TOPS, [f'[data-bundle="{each.name}"] .wire img' for each in (scene.open, scene.shut)]
    )
    assert wire[0] == pytest.approx(wire[1], abs=1)
    assert page.evaluate(TOO_SMALL) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    keep(page, "phone")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


# All at one moment: what is told above the pictures moves them.
TOPS = "(parts) => parts.map((part) => document.querySelector(part).getBoundingClientRect().top)"

# What can be pressed is 44 pixels large; an explained word's `::after` is part of what can be hit.
TOO_SMALL = """() => [...document.querySelectorAll("button, select, main a, .segments label")]
  .filter((node) => node.offsetParent && !node.classList.contains("skip"))
  .map((node) => {
    const own = node.getBoundingClientRect(), beyond = getComputedStyle(node, "::after");
    const size = (at) => Math.max(own[at], parseFloat(beyond[at]) || 0);
    return [node.id || node.textContent, size("width"), size("height")];
  })
  .filter(([, width, height]) => width < 43.5 || height < 43.5)"""


def test_dark_follows_the_system_and_the_toggle_outlives_a_reload(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage, scheme="dark")

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(13, 16, 20)"
    stage.play(scene.open, scene.shut, count=3)
    expect(page.locator("#lanes img").first).to_be_visible()
    keep(page, "dark")
    page.get_by_role("button", name="Light").click()
    assert background() == "rgb(243, 241, 234)"
    page.reload()
    assert background() == "rgb(243, 241, 234)"
    page.keyboard.press("t")
    assert background() == "rgb(13, 16, 20)"


def test_under_tls_the_page_shows_what_is_left_and_credits_the_cloud_with_what_it_reads(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    rebuilt = lane(page, scene.open).locator(".rebuilt img")
    expect(rebuilt).to_be_visible()
    stage.play_encrypted(10)
    expect(page.locator("#headline")).to_have_text("Encrypted: sizes and times are what is left to see.")
    expect(rebuilt).to_be_hidden()
    expect(lane(page, scene.open).locator(".records rect.up")).to_have_count(10)
    assert lane(page, scene.open).locator(".wire img").evaluate("image => image.naturalWidth") == 37
    expect(lane(page, scene.open).locator(".wire .explain").last).to_contain_text(
        re.compile(r"ciphertext, 1,400 bytes([0-9a-f]{2} ){12}…")
    )
    stage.play(scene.open, scene.shut, count=3, tap=stage.cloud)
    stage.play_encrypted(2)
    expect(page.locator("#cloud-sides img")).to_have_count(2)
    expect(page.locator("#answer-title")).to_have_text("The answers the cloud gave")
    expect(page.locator("#secret")).to_contain_text("TLS keeps it from the wire")
    by_the_cloud = page.locator("#table tr", has_text="the cloud")
    expect(by_the_cloud).to_have_count(2)
    expect(by_the_cloud.first.locator("td").nth(3)).to_have_text("3")
    expect(page.locator("#table tr", has_text="the wire").first.locator("td").nth(3)).to_have_text("2")
    keep(page, "tls")
    stage.play(scene.open, scene.shut, count=2)
    expect(rebuilt).to_be_visible()
    expect(page.locator("#cloud")).to_be_hidden()


def test_a_page_that_comes_late_sees_the_latest_pictures(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    stage.play(scene.open, scene.shut, count=7, gap_s=0.55)
    page = open_page(stage)
    expect(page.locator("#history button")).to_have_count(len(stage.hub.pairs()))
    assert len(stage.hub.pairs()) >= 3
    expect(page.locator("#chart-ssim polyline")).to_have_count(2)


def test_pictures_can_be_held_stepped_through_chosen_and_taken_away(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=7, gap_s=0.55)
    expect(page.locator("#history button").nth(2)).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    count = page.locator("#history button").count()
    expect(page.locator("#place")).to_have_text(f"held: {count} of {count}")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#place")).to_have_text(f"held: {count - 1} of {count}")
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("#place")).to_have_text(f"held: {count - 2} of {count}")
    page.keyboard.press("ArrowRight")  # keys work after a click
    expect(page.locator("#place")).to_have_text(f"held: {count - 1} of {count}")
    page.locator("#history button").last.click()
    expect(page.locator("#place")).to_have_text(f"held: 1 of {count}")
    expect(page.locator("#previous")).to_be_disabled()
    before = page.locator("#original").get_attribute("src")
    stage.play(scene.open, scene.shut, count=4)
    expect(page.locator("#table tr").first.locator("td").nth(3)).to_have_text("11")
    assert page.locator("#original").get_attribute("src") == before
    assert page.locator("#history button").count() == count
    for button, name in (("#save-png", "siftfunnel-"), ("#save-gif", "siftfunnel.gif")):
        with page.expect_download() as saved:
            page.click(button)
        assert saved.value.suggested_filename.startswith(name)
        assert saved.value.path().stat().st_size > 1000
    page.keyboard.press("h")
    expect(page.locator("#hold")).to_have_text("Hold")
    expect(page.locator("#place")).to_have_text("")


def test_a_switch_is_a_wish_until_the_conductor_confirms_it(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    stage = live(control=demo.url)
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#pick-pair").get_by_label("in turn")).to_be_checked()
    page.get_by_label("encrypted (TLS)").check(force=True)
    expect(page.locator("#pick-tls")).to_have_class(re.compile("waiting"))
    expect(page.locator("#wish")).to_contain_text("waiting until it plays")
    assert eventually(lambda: demo.was_asked("/switch", {"tls": True}))
    demo.answer = state(scene, tls=True, in_turn=False)
    expect(page.locator("#pick-tls")).not_to_have_class(re.compile("waiting"))
    expect(page.locator("#wish")).to_have_text("")
    page.locator("#pick-pair").get_by_label("in turn").check(force=True)
    assert eventually(lambda: demo.was_asked("/switch", {"in_turn": True}))
    page.keyboard.press("h")  # keys work after a switch
    expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    page.select_option("#codec-1", "q4")
    assert eventually(lambda: demo.was_asked("/switch", {"codec": {scene.shut.name: "q4"}}))
    keep(page, "switches")


def test_a_refused_switch_is_told_and_then_forgotten(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    page = open_page(live(control=demo.url))
    expect(page.locator("#switches")).to_be_visible()
    page.evaluate("import('./switches.js').then((it) => it.ask({ tls: 'perhaps' }))")
    demo.answer = 422, b'{"error": "tls must be true or false"}'
    page.evaluate("import('./switches.js').then((it) => it.ask({ tls: 'perhaps' }))")
    expect(page.locator("#wish")).to_have_text("Not done: tls must be true or false")
    demo.answer = state(scene)
    expect(page.locator("#wish")).to_have_text("")


def test_the_death_of_cloud_and_phone_is_shown_and_survived(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    stage = live(control=demo.url)
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#lanes .lane")).to_have_count(2)
    for party, name, words in (
        ("cloud", "cloud", "The cloud is down"),
        ("edge", "phone", "The phone is down"),
    ):
        demo.answer = state(scene)
        page.get_by_role("button", name=f"Kill the {name}").click()
        assert eventually(lambda party=party: demo.was_asked("/end", {"party": party}))  # type: ignore[misc]
        demo.answer = state(scene, parties={"cloud": "up", "edge": "up"} | {party: "down"})
        expect(page.locator("#alarm")).to_contain_text(words)
        expect(page.get_by_role("button", name=f"Kill the {name}")).to_be_disabled()
        expect(page.locator("html")).to_have_class(re.compile("still"))
        keep(page, f"without-{party}")
    demo.answer = state(scene)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#alarm")).to_be_hidden()


def test_silence_and_a_dead_attacker_are_told_without_a_conductor(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#alarm")).to_contain_text("Nothing crosses the wire at the moment")
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#alarm")).to_be_hidden()
    page.route("**/now?*", lambda route: route.fulfill(status=422, json={"error": "gone fishing"}))
    expect(page.locator("#alarm")).to_contain_text("The attacker does not answer (gone fishing)")
    page.unroute("**/now?*")
    expect(page.locator("#alarm")).not_to_contain_text("does not answer")


def test_ones_own_picture_is_sent_square_and_small_until_it_is_stopped(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo, tmp_path: Path
) -> None:
    demo.answer = state(scene)
    page = open_page(live(control=demo.url))
    expect(page.locator("#source-note")).to_contain_text("nothing of it is stored")
    Image.new("RGB", (3000, 2000), "teal").save(tmp_path / "own.png")
    page.set_input_files("#file", tmp_path / "own.png")

    def pictures() -> list[bytes]:
        return [body for method, path, body in demo.asked if (method, path) == ("POST", "/picture")]

    assert eventually(lambda: len(pictures()) >= 2)
    sent = Image.open(io.BytesIO(pictures()[0]))
    assert (sent.format, sent.size) == ("JPEG", (448, 448))
    expect(page.locator("#source-note")).to_contain_text("Nothing of it is stored")
    page.get_by_role("button", name="Stop").click()
    assert eventually(lambda: demo.was_asked("/switch", {"pictures": "demo"}))
    count = len(pictures())
    (tmp_path / "none.png").write_bytes(b"no picture")
    page.set_input_files("#file", tmp_path / "none.png")
    expect(page.locator("#source-note")).to_have_text("none.png is no picture that this browser can read.")
    assert len(pictures()) == count


def test_a_cameras_pictures_are_sent_and_refusals_are_told(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    page = open_page(live(control=demo.url), permissions=["camera"])
    page.get_by_role("button", name="My face").click()
    assert eventually(lambda: any(path == "/picture" for _, path, _ in demo.asked))
    expect(page.locator("#use-camera")).to_have_attribute("aria-pressed", "true")
    demo.answer = 422, b'{"error": "no faces today"}'
    expect(page.locator("#source-note")).to_have_text("Not sent: no faces today")
    expect(page.locator("#use-camera")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("document.getElementById('video').srcObject") is None
    demo.answer = state(scene)


def test_every_figure_is_explained_on_hover_on_focus_and_on_touch(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    stage = live(control=demo.url)
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#table tr")).to_have_count(2)
    keys = page.evaluate("[...document.querySelectorAll('[data-explain]')].map((n) => n.dataset.explain)")
    assert {key.split(" ")[0] for keyed in keys for key in keyed.split("|")} >= {
        "network",
        "codec",
        "feature",
        "rebuilt",
        "payload",
        "jpeg",
        "psnr",
        "ssim",
        "wire",
        "raw",
        "tls",
        "end",
    }
    tip = page.locator("#tip")
    for place in range(len(keys)):
        page.locator("[data-explain]").nth(place).focus()
        expect(tip).to_be_visible()
        assert len(tip.inner_text()) > 20
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.locator("#table-note").scroll_into_view_if_needed()
    page.locator("th [data-explain=psnr]").hover()
    expect(tip).to_contain_text("in decibels")
    expect(page.locator("th [data-explain=psnr]")).to_have_attribute("aria-describedby", "tip")
    touch = open_page(stage, PHONE, **TOUCH)
    stage.play(scene.open, scene.shut)
    touch.locator("#lanes h3 .explain").first.tap()
    expect(touch.locator("#tip")).to_contain_text("people-unprotected")
    box = touch.locator("#tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_everything_can_be_reached_with_a_keyboard_alone(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene)
    stage = live(control=demo.url)
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=3, gap_s=0.6)
    expect(page.locator("#history button").first).to_be_visible()
    page.keyboard.press("h")  # still pictures, so that the list of what can be focused stands still
    reached: list[str] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        named = page.evaluate("(document.activeElement.id || document.activeElement.className)")
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        reached.append(named)
        assert (
            named in ("", "skip")
            or ring != "none"
            or page.evaluate("document.activeElement.type === 'radio'")
        )
    assert {"theme", "use-camera", "use-file", "previous", "hold", "save-png", "save-gif"} <= set(reached)
    assert {"codec-0", "codec-1", "end-cloud", "end-edge", "explain", "scroll"} <= set(reached)


def test_the_keyboard_and_an_explanation_stay_where_they_are_while_figures_change(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    row = page.locator("#table tr").first
    word = row.locator("[data-explain]").last
    expect(row.locator("td").nth(3)).to_have_text("2")
    word.focus()
    stage.play(scene.open, scene.shut, count=2)
    expect(row.locator("td").nth(3)).to_have_text("4")
    expect(word).to_be_focused()
    expect(page.locator("#tip")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    word.hover()
    stage.play(scene.open, scene.shut, count=2)
    expect(row.locator("td").nth(3)).to_have_text("6")
    expect(page.locator("#tip")).to_be_visible()


def test_without_an_inverter_the_page_says_so(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live(knowledge=gather([scene.bundles], []))
    page = open_page(stage)
    stage.play(scene.open, count=2)
    expect(lane(page, scene.open).locator(".wire img")).to_be_visible()
    expect(lane(page, scene.open).locator(".rebuilt .empty")).to_contain_text(
        "No inverter for people-unprotected"
    )
    expect(page.locator("#evidence")).to_contain_text("no inverter for people-unprotected")
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
    expect(page.locator("#answers strong")).to_have_text(hostile[0])
    assert page.locator("#answers strong *").count() == 0


@pytest.mark.slow
def test_on_a_slow_line_the_newest_is_shown(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    expect(page.locator("#headline")).to_have_text("Waiting for the first frame.")
    line = page.context.new_cdp_session(page)
    line.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 50, "downloadThroughput": 30_000, "uploadThroughput": 30_000},
    )
    stage.play(scene.open, scene.shut, count=400, gap_s=0.03)
    frames = page.locator("#table tr").first.locator("td").nth(3)
    page.wait_for_timeout(3000)
    assert int(frames.inner_text().replace(",", "")) >= 380


def test_the_verdict_claims_no_more_than_the_numbers(live: Callable[..., LivePage], open_page: Open) -> None:
    page = open_page(live())

    def likeness(psnr: float, level: float | None) -> str:
        return str(
            page.evaluate("([p, l]) => import('./verdict.js').then(v => v.likeness(p, l))", [psnr, level])
        )

    assert likeness(30.0, 12.0) == "the picture, details included"
    assert likeness(24.0, 12.0) == "a good likeness of the picture"
    assert likeness(23.9, 12.0) == "a blurred likeness of the picture"
    assert likeness(15.0, 12.0) == "only a coarse impression of the picture"
    assert likeness(12.5, 12.0).startswith("about what the average picture would give")
    assert likeness(12.5, None) == "only a coarse impression of the picture"
    headline = "(sides) => import('./verdict.js').then(v => v.headline(sides))"
    both = [{"title": "Ordinary network", "psnr": 30.0}, {"title": "SiftFunnel", "psnr": 15.0}]
    assert page.evaluate(headline, both) == (
        "Through the ordinary network the eavesdropper gets the picture, details included; "
        "through SiftFunnel, only a coarse impression of the picture."
    )
    alike = [{"title": "a", "psnr": 30.0}, {"title": "b", "psnr": 31.0}]
    assert "Through each of them" in page.evaluate(headline, alike)
    parts = ("verdict.js", "app.js", "explain.js", "stage.js", "source.js")
    said = page.content() + "".join(page.request.get(page.url + name).text() for name in parts)
    assert not re.search(
        r"\b(safe|secure|anonymous|private)\b", re.sub(r"private mode", "", said), re.IGNORECASE
    )
