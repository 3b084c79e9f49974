import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from siftfunnel.attacker.pipeline import Pipeline, Rate
from siftfunnel.attacker.targets import Target, Targets, gather
from siftfunnel.attacker.views import exchange_view
from siftfunnel.attacker.workshop import WorkshopConfig
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from tests.attacker.scene import HandCamera, HandFeed, Scene, eventually, heard_frame, heard_reply


class Run:
    """A pipeline fed by hand."""

    def __init__(self, targets: Targets, with_camera: bool = True, **bounds: Any) -> None:
        self.relay, self.cloud = HandFeed("relay:1:2"), HandFeed("cloud:flows", "cloud")
        self.camera = HandCamera()
        self.published: list[tuple[str, Mapping[str, Any]]] = []
        self.pipeline = Pipeline(
            targets,
            {"relay": self.relay, "cloud": self.cloud},
            lambda name, value: self.published.append((name, value)),
            self.camera if with_camera else None,
            WorkshopConfig(**bounds),
        )
        self.pipeline.start()

    def views(self, kind: str = "frame") -> list[Mapping[str, Any]]:
        return [value for name, value in self.published if name == kind]

    def bundle(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.pipeline.summary()["bundles"].get(name, {})
        return found

    def is_done(self) -> bool:
        return self.pipeline.summary()["pending"] == {"invert": 0, "score": 0}


Start = Callable[..., Run]


@pytest.fixture
def start(scene: Scene) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(targets: Targets | None = None, **options: Any) -> Run:
        runs.append(Run(targets or scene.targets(), **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.pipeline.stop()


def test_a_frame_goes_from_the_wire_to_the_page_with_its_scores(start: Start, scene: Scene) -> None:
    run = start()
    run.relay.tell(
        heard_frame(scene.frame(scene.open, 7), scene.open.digest, wire_bytes=900), heard_reply(7, 0)
    )
    run.camera.show(scene.truth(scene.open, 7))
    assert eventually(lambda: len(run.views()) == 1)
    (view,) = run.views()
    assert (view["sequence"], view["codec"], view["label"], view["tap"]) == (7, "q6", "ada", "relay")
    assert view["answer"] == {"class": "ada", "score": 0.75, "correct": True}
    pictures = view["pictures"]
    (feature,) = pictures["features"]
    assert (feature["name"], feature["shape"]) == ("feature", [12, 16, 16])
    for address in (pictures["original"], feature["picture"], pictures["reconstruction"]):
        assert address.startswith("data:image/png;base64,")
    json.dumps(view)
    told = run.bundle(scene.open.name)
    assert told["frames_intercepted"] == told["frames_reconstructed"] == told["frames_scored"] == 1
    assert told["psnr_mean"] == pytest.approx(view["similarity"]["psnr"], abs=0.01)
    assert told["psnr_mean"] == pytest.approx(10 * np.log10(1 / told["mse_mean"]), abs=1e-6)
    assert told["wire_bytes_mean"] == 920
    assert told["answers_accuracy"] == 1.0
    assert run.is_done()


def test_every_frame_of_a_long_run_is_rebuilt_and_scored_once(start: Start, scene: Scene) -> None:
    run = start()
    for sequence in range(60):
        bundle = scene.open if sequence < 30 else scene.shut
        frame = heard_frame(scene.frame(bundle, sequence, sequence % 3), bundle.digest)
        run.relay.tell(frame, frame, heard_reply(sequence, sequence % 3))
        run.camera.show(scene.truth(bundle, sequence, sequence % 3, "ada"))
    assert eventually(lambda: run.is_done() and len(run.views()) == 60)
    for bundle in (scene.open, scene.shut):
        told = run.bundle(bundle.name)
        assert told["frames_intercepted"] == told["frames_reconstructed"] == told["frames_scored"] == 30
        assert (told["frames_resent"], told["frames_skipped"], told["frames_without_truth"]) == (30, 0, 0)
        assert (told["answers_overheard"], told["answers_correct"]) == (30, 10)


def test_an_original_may_come_before_or_after_its_frame(start: Start, scene: Scene) -> None:
    run = start()
    run.camera.show(scene.truth(scene.open, 0))
    run.relay.tell(heard_frame(scene.frame(scene.open, 0), scene.open.digest), heard_reply(0, 0))
    run.relay.tell(heard_frame(scene.frame(scene.open, 1), scene.open.digest), heard_reply(1, 0))
    assert eventually(lambda: run.bundle(scene.open.name).get("frames_reconstructed") == 2)
    run.camera.show(scene.truth(scene.open, 1))
    assert eventually(lambda: run.bundle(scene.open.name)["frames_scored"] == 2)


def test_an_edge_that_numbers_like_the_one_before_is_scored_against_its_own_originals(
    start: Start, scene: Scene
) -> None:
    run = start()
    run.camera.show(scene.truth(scene.open, 0, picture=1, label="an edge that was not overheard"))
    run.relay.tell(heard_frame(scene.frame(scene.open, 0, picture=2), scene.open.digest), heard_reply(0, 0))
    assert eventually(lambda: run.bundle(scene.open.name).get("frames_reconstructed") == 1)
    run.camera.show(scene.truth(scene.open, 0, picture=2, label="ada"))
    assert eventually(lambda: len(run.views()) == 1)
    assert run.views()[0]["label"] == "ada"


def test_a_frame_whose_original_never_comes_is_shown_unscored(start: Start, scene: Scene) -> None:
    run = start(truth_wait_s=0.05)
    run.relay.tell(heard_frame(scene.frame(scene.open, 0), scene.open.digest), heard_reply(0, 0))
    assert eventually(lambda: run.bundle(scene.open.name).get("frames_without_truth") == 1)
    assert eventually(lambda: len(run.views()) == 1)
    assert run.views()[0]["similarity"] is None
    assert run.views()[0]["pictures"]["original"] is None


def test_without_a_preview_frames_are_rebuilt_at_once_and_nothing_is_scored(
    start: Start, scene: Scene
) -> None:
    run = start(with_camera=False)
    run.relay.tell(heard_frame(scene.frame(scene.open, 0), scene.open.digest), heard_reply(0, 0))
    assert eventually(lambda: len(run.views()) == 1)
    told = run.bundle(scene.open.name)
    assert (told["frames_reconstructed"], told["frames_scored"], told["psnr_mean"]) == (1, 0, None)
    assert run.pipeline.summary()["preview"]["phase"] == "off"


def test_without_an_inverter_features_and_answers_are_still_shown(start: Start, scene: Scene) -> None:
    run = start(gather([scene.bundles], []))
    run.relay.tell(heard_frame(scene.frame(scene.open, 0), scene.open.digest), heard_reply(0, 2))
    run.camera.show(scene.truth(scene.open, 0))
    assert eventually(lambda: len(run.views()) == 1)
    (view,) = run.views()
    assert view["pictures"]["features"][0]["picture"].startswith("data:image/png")
    assert view["pictures"]["reconstruction"] is None
    assert view["answer"]["class"] == "chidi"
    assert run.bundle(scene.open.name)["frames_reconstructed"] == 0


def test_a_damaged_payload_is_counted_and_the_rest_goes_on(start: Start, scene: Scene) -> None:
    run = start()
    damaged = scene.frame(scene.open, 0)[:-2] + b"\x00\x00"
    run.relay.tell(heard_frame(damaged, scene.open.digest))
    run.relay.tell(heard_frame(scene.frame(scene.open, 1), scene.open.digest), heard_reply(1, 0))
    run.camera.show(scene.truth(scene.open, 1))
    assert eventually(lambda: run.bundle(scene.open.name).get("frames_scored") == 1)
    told = run.bundle(scene.open.name)
    assert (told["frames_intercepted"], told["frames_undecodable"], told["frames_reconstructed"]) == (2, 1, 1)
    assert run.is_done()


def test_an_attack_that_fails_leaves_the_pipeline_running(start: Start, scene: Scene) -> None:
    class Broken:
        def reconstruct(self, features_NCHW):
            raise RuntimeError("out of luck")

    known = scene.targets().get(scene.open.digest)
    assert known is not None
    run = start(Targets([Target(known.bundle, known.codecs, Broken())]))
    run.relay.tell(heard_frame(scene.frame(scene.open, 0), scene.open.digest), heard_reply(0, 0))
    run.camera.show(scene.truth(scene.open, 0))
    assert eventually(lambda: len(run.views()) == 1)
    assert run.bundle(scene.open.name)["frames_failed"] == 1
    assert "out of luck" in run.views("problem")[0]["text"]
    assert run.is_done()


def test_a_frame_that_an_attack_cannot_take_costs_itself_only(start: Start, scene: Scene) -> None:
    known = scene.targets().get(scene.open.digest)
    assert known is not None
    frames = [pb.Frame.FromString(scene.frame(scene.open, number, number % 3)) for number in range(6)]
    odd = known.decode(frames[1].codec, frames[1].payload)

    class Picky:
        def reconstruct(self, features_NCHW):
            if any(np.array_equal(features_CHW, odd) for features_CHW in features_NCHW):
                raise RuntimeError("not this one")
            return np.ones((len(features_NCHW), 32, 32, 3), np.float32)

    picky = Targets([Target(known.bundle, known.codecs, Picky())])
    run = start(picky, answer_wait_s=0.0, truth_wait_s=0.0)
    run.relay.tell(*(heard_frame(frame.SerializeToString(), scene.open.digest) for frame in frames))
    assert eventually(run.is_done)
    told = run.bundle(scene.open.name)
    assert (told["frames_reconstructed"], told["frames_failed"]) == (4, 2)


def test_a_fault_in_decoding_or_scoring_one_frame_costs_itself_only(
    start: Start, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view(exchange, *rest):
        if exchange.sequence == 1:
            raise ZeroDivisionError("a bug in a view")
        return exchange_view(exchange, *rest)

    def decode(target, codec, payload):
        if codec == 99:
            raise ZeroDivisionError("a bug in a codec")
        return honest(target, codec, payload)

    honest = Target.decode
    monkeypatch.setattr("siftfunnel.attacker.pipeline.exchange_view", view)
    monkeypatch.setattr(Target, "decode", decode)
    run = start(with_camera=False, answer_wait_s=0.0)
    frames = [pb.Frame.FromString(scene.frame(scene.open, number)) for number in range(4)]
    frames[3].codec = 99
    run.relay.tell(*(heard_frame(frame.SerializeToString(), scene.open.digest) for frame in frames))
    assert eventually(lambda: run.is_done() and len(run.views()) == 2)
    told = run.bundle(scene.open.name)
    assert (told["frames_reconstructed"], told["frames_undecodable"]) == (3, 1)
    assert told["frames_without_truth"] == 3
    assert sorted(view["sequence"] for view in run.views()) == [0, 2]


def test_a_flood_is_sampled_and_every_frame_left_out_is_counted(start: Start, scene: Scene) -> None:
    run = start(backlog_frames=5, truth_wait_s=0.0, answer_wait_s=0.0)
    frames = [heard_frame(scene.frame(scene.open, sequence), scene.open.digest) for sequence in range(200)]
    run.relay.tell(*frames)
    assert eventually(run.is_done)
    told = run.bundle(scene.open.name)
    assert told["frames_intercepted"] == 200
    assert told["frames_reconstructed"] + told["frames_skipped"] == 200
    assert told["frames_reconstructed"] >= 5


def test_the_camera_is_shown_even_when_nothing_can_be_overheard(start: Start, scene: Scene) -> None:
    run = start()
    run.camera.show(scene.truth(scene.open, 0))
    assert run.views("camera")[0]["label"] == "ada"


def test_the_summary_tells_each_tap_by_name(start: Start) -> None:
    taps = start().pipeline.summary()["taps"]
    assert [(tap["name"], tap["kind"], tap["phase"]) for tap in taps] == [
        ("relay", "relay", "running"),
        ("cloud", "cloud", "running"),
    ]


def test_pictures_come_at_a_bounded_rate() -> None:
    rate = Rate(2.0)
    assert [rate.allows(now_s) for now_s in (0.0, 0.1, 0.49, 0.5, 0.6, 9.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
