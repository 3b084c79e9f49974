"""What the page shows of somebody's own network: several tensors, boxes, an embedding, no classes."""

import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from siftfunnel.attacker.preview import Truth
from siftfunnel.attacker.targets import gather
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.output_tensors import add_tensor
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import pack_arrays
from siftfunnel.shared.wire import codec_by_name, make_codecs
from tests.attacker.scene import Scene, eventually, heard, heard_frame
from tests.attacker.web.browser import PHONE, TOUCH, Open, expect, keep, lane
from tests.attacker.web.live import LivePage
from tests.tinynetwork import make_own_bundle, make_own_inverter


class Own:
    """Frames of a bundle of one's own, and its real answers."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._edge, self._cloud = (
            onnxruntime.InferenceSession(str(bundle.path(name))) for name in ("edge.onnx", "cloud.onnx")
        )

    def picture(self, number: int) -> np.ndarray:
        """A square of its own colour on a ramp."""
        height, width = self.bundle.manifest.input.height, self.bundle.manifest.input.width
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., number % 3] = np.linspace(20, 200, width)
        left = (number * width // 7) % (width // 2)
        pixels[height // 4 : height // 2, left : left + width // 3] = (240, 40 * number % 255, 90)
        return pixels

    def play(self, stage: LivePage, *numbers: int, outputs: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """Let pictures pass the relay, with their originals and answers."""
        for number in numbers:
            pixels, sequence = self.picture(number), stage.next_sequence()
            spec = self.bundle.manifest
            tensors = self._edge.run(None, {"image": normalise(pixels[None], spec.input)})
            codecs = make_codecs(spec, self.bundle.digest)
            payload = codec_by_name(codecs, "fp32").encode(pack_arrays(tensors, spec.sent)[0])
            given = self._cloud.run(None, dict(zip(("t0", "t1"), tensors, strict=True)))
            answer = pb.Prediction()
            for position in outputs:
                add_tensor(answer, position, given[position][0])
            frame = pb.Frame(sequence=sequence, codec=0, payload=payload).SerializeToString()
            reply = pb.Reply(sequence=sequence, prediction=answer).SerializeToString()
            now = time.time()
            stage.camera.show(
                Truth(self.bundle.digest, sequence, now, f"folder {number}", pixels, zlib.crc32(payload))
            )
            stage.relay.tell(
                heard_frame(frame, self.bundle.digest, "c0", now),
                heard("down", reply, None, "c0", now, len(reply)),
            )
            time.sleep(0.3)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    folder = tmp_path_factory.mktemp("own")
    bundle = make_own_bundle(folder / "bundles" / "mine", "mine", (192, 256))
    make_own_inverter(folder / "inverters" / "mine", bundle)
    return Own(bundle)


def shown(name: str, *shape: int) -> str:
    return f"{name} {chr(0xD7).join(map(str, shape))}"


def places(own: Own, inverters: bool = True) -> dict[str, object]:
    folder = own.bundle.directory.parents[1]
    return {"targets": gather([folder / "bundles"], [folder / "inverters"] if inverters else [])}


def test_tensors_stand_apart_and_answers_without_classes_are_shown_as_what_they_are(
    live: Callable[..., LivePage], open_page: Open, own: Own
) -> None:
    stage = live(**places(own))
    page = open_page(stage)
    own.play(stage, 0, 1, 2, 3)
    neighbours = page.locator("#answers .nearest li")

    def all_are_known() -> bool:
        own.play(stage, 0)
        return bool(neighbours.count() == 3)

    assert eventually(all_are_known)
    mine = lane(page, own.bundle)
    expect(mine.locator(".wire .maps img")).to_have_count(2)
    expect(mine.locator(".wire .maps figcaption")).to_have_text(
        [shown("t0", 8, 24, 32), shown("t1", 16, 1, 1)]
    )
    expect(mine.locator(".says")).to_contain_text("8 maps of 24 x 32 numbers and 16 numbers")
    # what scores under 0.3 is no box, and one object is one box
    for drawn in (page.locator("#original-boxes rect"), mine.locator(".rebuilt .boxes rect")):
        expect(drawn).to_have_count(2)
    first = page.locator("#original-boxes rect").first
    placed = [float(first.get_attribute(side) or "nan") for side in ("x", "y", "width", "height")]
    assert placed == pytest.approx([25.6, 28.8, 89.6, 124.8], abs=0.1)
    answers = page.locator("#answers")
    expect(answers.locator(".boxes .note").last).to_have_text("2 boxes on the picture, scores 0.97, 0.81")
    expect(neighbours.first).to_contain_text(re.compile(r"^\d\.\d\dfolder \d$"))
    expect(answers.locator(".embedding")).to_contain_text("nearest of 3 other pictures")
    expect(answers.locator(".tensor .heat")).to_be_visible()
    expect(answers).not_to_contain_text("it was")  # a folder's name is no class of this network
    expect(page.locator("#headline")).to_contain_text("the eavesdropper gets")
    keep(page, "own")


def test_the_drawing_lies_where_the_picture_lies(
    live: Callable[..., LivePage], open_page: Open, own: Own
) -> None:
    stage = live(**places(own))
    for view in ({}, {"viewport": PHONE, "scheme": "dark", **TOUCH}):
        page = open_page(stage, **view)
        own.play(stage, 0, 1, 2)
        expect(page.locator("#original-boxes rect").first).to_be_visible()
        box = page.locator("#original-boxes rect").first.bounding_box()
        frame = page.locator("#original").bounding_box()
        shown_height = frame["width"] * 192 / 256
        top = frame["y"] + (frame["height"] - shown_height) / 2
        assert box["x"] + box["width"] / 2 - frame["x"] == pytest.approx(frame["width"] * 0.275, abs=2)
        assert box["y"] + box["height"] / 2 - top == pytest.approx(shown_height * 0.475, abs=2)
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        keep(page, "own-phone" if view else "own-desk")


def test_without_a_decoder_the_page_shows_what_crosses_and_how_to_make_one(
    live: Callable[..., LivePage], open_page: Open, own: Own
) -> None:
    stage = live(**places(own, inverters=False))
    page = open_page(stage)
    own.play(stage, 0, 1)
    mine = lane(page, own.bundle)
    expect(mine.locator(".wire .maps img").first).to_be_visible()
    command = f"siftfunnel lab inverter {own.bundle.directory} --images DIR --out inverters/mine"
    expect(mine.locator(".rebuilt .empty")).to_contain_text("No inverter for mine")
    expect(page.locator("#evidence")).to_contain_text(command)
    expect(page.locator("#problem-list")).to_contain_text(command)
    expect(mine.locator(".rebuilt .boxes")).to_be_hidden()
    expect(page.locator("#original-boxes rect")).to_have_count(2)
    keep(page, "own-no-decoder")


def test_an_answer_that_carries_nothing_is_an_answer(
    live: Callable[..., LivePage], open_page: Open, own: Own
) -> None:
    stage = live(**places(own))
    page = open_page(stage)
    own.play(stage, 0, 1, outputs=())
    expect(page.locator("#answers strong")).to_have_text("no class and no tensor")
    books = page.request.get(stage.url + "summary").json()["bundles"]["mine"]
    assert (books["answers_overheard"], books["errors_overheard"]) == (2, 0)


def test_a_large_network_s_pictures_do_not_swell_what_a_page_is_sent(
    live: Callable[..., LivePage], tmp_path: Path, scene: Scene
) -> None:
    bundle = make_own_bundle(tmp_path / "bundles" / "large", "large", (640, 640))
    make_own_inverter(tmp_path / "inverters" / "large", bundle)
    own = Own(bundle)
    stage = live(**places(own))
    own.play(stage, 0, 1, 2)
    deadline_s = time.monotonic() + 20
    while not stage.hub.pairs() and time.monotonic() < deadline_s:
        time.sleep(0.05)
        stage.hub.tick()
    (pair, *_) = stage.hub.pairs()
    pictures = pair.as_json()["sides"][0]["pictures"]
    sent = [pair.original or "", pictures["reconstruction"], pictures["features"][0]["picture"]]
    assert max(len(address) for address in sent) < 640 * 640 * 3 / 4
