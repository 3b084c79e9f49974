"""What the page shows, in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from siftfunnel.attacker.targets import gather
from siftfunnel.shared.bundle import Bundle
from tests.attacker.scene import Scene, eventually
from tests.attacker.web.browser import Open, expect, keep, lane
from tests.attacker.web.live import LivePage
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter


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
        re.compile(r"ciphertext, one record of 1,400 bytes([0-9a-f]{2} ){12}…")
    )
    other = lane(page, scene.shut)  # one stream is not credited to each network
    expect(other.locator(".records rect, .tiles img:visible")).to_have_count(0)
    expect(other.locator(".tiles")).not_to_contain_text("1,400")
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


def test_silence_and_a_dead_attacker_are_told_without_a_conductor(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    page.clock.install()
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#lanes .lane")).to_have_count(2)
    page.clock.fast_forward(10_000)
    expect(page.locator("#alarm")).to_contain_text("Nothing crosses the wire at the moment")
    stage.play(scene.open, scene.shut, count=2)
    expect(page.locator("#alarm")).to_be_hidden()
    page.route("**/now?*", lambda route: route.fulfill(status=422, json={"error": "gone fishing"}))
    expect(page.locator("#alarm")).to_contain_text("The attacker does not answer (gone fishing)")
    page.unroute("**/now?*")
    expect(page.locator("#alarm")).not_to_contain_text("does not answer")


def test_nothing_of_another_picture_stands_beside_what_the_phone_sees(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live()
    page = open_page(stage)
    stage.play(scene.open, scene.shut, count=2)
    rebuilt = page.locator("#lanes .rebuilt img:visible")
    expect(rebuilt).to_have_count(2)

    def the_phone_sees_another(sequence: int = 1000) -> bool:
        stage.camera.show(scene.truth(scene.open, sequence, 2, "chidi"))
        return bool(page.locator("#original-note").inner_text() == "chidi")

    assert eventually(the_phone_sees_another)
    expect(rebuilt).to_have_count(0)
    expect(page.locator("#lanes")).not_to_contain_text("PSNR")
    expect(page.locator("#answers strong").first).to_have_text("nothing yet")
    stage.play(scene.open, scene.shut)
    expect(rebuilt).to_have_count(2)


def test_without_an_inverter_the_page_says_so(
    live: Callable[..., LivePage], open_page: Open, scene: Scene
) -> None:
    stage = live(targets=gather([scene.bundles], []))
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
    stage = live(targets=gather([tmp_path / "bundles"], [tmp_path / "inverters"]))
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
