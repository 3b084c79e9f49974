"""The page under somebody's hands: phone, keyboard, explanations, history."""

from collections.abc import Callable

import pytest

from tests.attacker.scene import Scene, eventually
from tests.attacker.web.browser import (
    NARROW,
    PHONE,
    TOUCH,
    Open,
    expect,
    keep,
    lane,
    state,
)
from tests.attacker.web.fakedemo import FakeDemo
from tests.attacker.web.live import LivePage


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


def test_a_page_that_comes_late_sees_the_latest_pictures(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    stage.play(scene.open, scene.shut, count=7, gap_s=0.15)
    assert eventually(lambda: stage.pipeline.summary()["bundles"][scene.shut.name]["frames_scored"] == 7)
    page = open_page(stage)
    expect(page.locator("#history button")).to_have_count(len(stage.hub.pairs()))
    assert len(stage.hub.pairs()) >= 3
    expect(page.locator("#chart-ssim polyline")).to_have_count(2)


def test_pictures_can_be_held_stepped_through_chosen_and_taken_away(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    # of pictures that follow faster than people look not all are kept
    stage.play(scene.open, scene.shut, count=7, gap_s=0.5)
    expect(page.locator("#history button").nth(2)).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    count = page.locator("#history button").count()
    # what is held is what was shown: the newest may have come to the row, and not to the stage yet
    page.locator("#history button").first.click()
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
    stage.play(scene.open, scene.shut, count=8, gap_s=0.15)
    expect(page.locator("#table tr").first.locator("td").nth(3)).to_have_text("8")
    expect(page.locator("#history button").nth(2)).to_be_visible()
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
