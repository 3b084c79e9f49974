"""What the page can ask of the demo, in a real browser."""

import io
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.attacker.scene import Scene, eventually
from tests.attacker.web.browser import (
    PHONE,
    Open,
    expect,
    keep,
    state,
)
from tests.attacker.web.fakedemo import FakeDemo
from tests.attacker.web.live import LivePage


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
    page.clock.install()
    expect(page.locator("#switches")).to_be_visible()
    page.evaluate("import('./switches.js').then((it) => it.ask({ tls: 'perhaps' }))")
    demo.answer = 422, b'{"error": "tls must be true or false"}'
    page.evaluate("import('./switches.js').then((it) => it.ask({ tls: 'perhaps' }))")
    expect(page.locator("#wish")).to_have_text("Not done: tls must be true or false")
    demo.answer = state(scene)
    page.clock.fast_forward(10_000)
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
        expect(page.locator("#live")).not_to_have_class(re.compile(r"\bon\b"))
        keep(page, f"without-{party}")
    demo.answer = state(scene)
    expect(page.locator("#alarm")).to_contain_text("The phone is back, but nothing crosses the wire yet")
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#alarm")).to_be_hidden()


def test_all_switches_are_in_sight_on_a_desk_and_share_the_width_of_a_phone(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    both, alone = [scene.open.name, scene.shut.name], [scene.open.name]
    choices = [{"bundles": both, "title": "SiftFunnel"}, {"bundles": alone, "title": LONG}]
    demo.answer = state(scene, choices=choices)
    stage = live(control=demo.url)
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#lanes .lane")).to_have_count(2)
    for button in ("#end-cloud", "#end-edge"):
        expect(page.locator(button)).to_be_in_viewport(ratio=1)
    ends = page.locator("#switches .field").evaluate_all(
        "all => all.map(n => n.getBoundingClientRect().bottom)"
    )
    assert max(ends) - min(ends) < 2  # in one row
    page.set_viewport_size(PHONE)
    tops = page.locator("#pick-pair label").evaluate_all("all => all.map(n => n.getBoundingClientRect().top)")
    assert len(tops) == 3
    assert len(set(tops)) == 1
    keep(page, "switches-phone")


LONG = "SiftFunnel, trained for its rate"


def test_skipped_pictures_are_among_what_does_not_work(
    live: Callable[..., LivePage], open_page: Open, scene: Scene, demo: FakeDemo
) -> None:
    demo.answer = state(scene, skipped={"pictures": 0, "reasons": []})
    page = open_page(live(control=demo.url))
    expect(page.locator("#switches")).to_be_visible()
    expect(page.locator("#problems")).to_be_hidden()
    reasons = ["bad.png: not a picture", "empty.jpg: no bytes"]
    demo.answer = state(scene, skipped={"pictures": 2, "reasons": reasons})
    expect(page.locator("#problem-list li")).to_have_count(1)
    for told in ("2 pictures", *reasons):
        expect(page.locator("#problem-list")).to_contain_text(told)


def test_ones_own_picture_is_sent_whole_and_small_until_it_is_stopped(
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
    assert (sent.format, sent.size) == ("JPEG", (960, 640))
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
