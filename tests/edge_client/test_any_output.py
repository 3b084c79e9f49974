"""Networks with several feature tensors and any outputs, asked over real connections in every way."""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.edge_client import (
    Answer,
    BundleError,
    ClientSettings,
    EdgeModel,
    OutputError,
    SplitClient,
    WindowPolicy,
)
from siftfunnel.shared.bundle import Bundle, write_bundle
from siftfunnel.shared.preprocess import prepare
from tests.edge_client.conftest import pixels, serving
from tests.tinynetwork import make_tiny_network, said_of

WAYS = ("unary", "stream", "batches")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_network(tmp_path_factory.mktemp("networks") / "network")


@pytest.fixture(scope="module")
def network_server(network: Bundle) -> Iterator[str]:
    with serving(network) as address:
        yield address


def picture(seed: int) -> NDArray[np.uint8]:
    # darker and brighter ones: the number of bright places is each picture's own
    return (pixels(seed) * (0.3 + seed / 10)).astype(np.uint8)


def ask(client: SplitClient, way: str, pictures: list[NDArray[np.uint8]]) -> list[Answer]:
    if way == "unary":
        return [client.classify(each) for each in pictures]
    answers = [outcome for outcome in client.stream(pictures) if isinstance(outcome, Answer)]
    return sorted(answers, key=lambda answer: answer.index)


def client_for(bundle: Bundle, server: str, way: str, **told: Any) -> SplitClient:
    client = SplitClient(bundle, server, **told)
    if way == "batches":
        settings = replace(client.settings, frames_per_message=4)
        client.close()
        client = SplitClient(bundle, server, settings=settings, codec=told.get("codec"))
    return client


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_what_the_whole_network_says(network: Bundle, network_server: str, way: str) -> None:
    pictures = [picture(seed) for seed in range(8)]
    with client_for(network, network_server, way) as client:
        answers = ask(client, way, pictures)
    assert len(answers) == 8
    lengths = set()
    for given, answer in zip(pictures, answers, strict=True):
        said = said_of(network, prepare(Image.fromarray(given), network.manifest.input).tensor)
        best = int(said["scores"].argmax())
        assert answer.top[0].id == network.manifest.class_ids[best]
        assert answer.class_name == network.manifest.classes[best]
        assert answer.score == pytest.approx(float(said["scores"][best]), abs=1e-5)
        assert list(answer.outputs) == ["code", "heat", "spots"]
        for name, array in answer.outputs.items():
            assert array.dtype == said[name].dtype
            assert np.allclose(array, said[name], atol=1e-3)
            assert not array.flags.writeable
        assert np.array_equal(answer.embedding, answer.outputs["code"])
        lengths.add(len(answer.outputs["spots"]))
    assert len(lengths) > 1


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_asked_for_by_name_comes(network: Bundle, network_server: str, way: str) -> None:
    with client_for(network, network_server, way, outputs=["spots", "scores"]) as client:
        (answer,) = ask(client, way, [picture(1)])
    assert list(answer.outputs) == ["spots", "scores"]
    assert float(answer.outputs["scores"].max()) == pytest.approx(answer.score)
    with pytest.raises(OutputError, match="output 'code' was not asked for"):
        answer.embedding  # noqa: B018
    with pytest.raises(
        KeyError, match="no output 'poses'; this bundle gives scores \\(probabilities\\), code"
    ):
        answer.outputs["poses"]


def test_nothing_beside_classes_comes_where_nothing_is_asked_for(
    network: Bundle, network_server: str
) -> None:
    with SplitClient(network, network_server, outputs=()) as client:
        answer = client.classify(picture(1))
    assert not answer.outputs
    assert answer.top


def test_an_output_that_the_bundle_does_not_have_is_refused_before_anything_is_sent(network: Bundle) -> None:
    with pytest.raises(
        ValueError, match="no output 'boxes' in this bundle; it has scores, code, heat, spots"
    ):
        SplitClient(network, "127.0.0.1:1", outputs=["boxes"])


def test_the_way_back_to_the_picture_comes_with_the_answer(network: Bundle, network_server: str) -> None:
    with SplitClient(network, network_server) as client:
        answer = client.classify(pixels(0, height=64, width=128))
    assert answer.transform is not None
    # letterbox: the picture lies in rows 8 to 24 of 32, four of its pixels in one
    assert answer.transform.boxes_to_picture([0, 8, 32, 24]).tolist() == [0, 0, 128, 64]


def test_an_answer_can_be_copied_and_compared(network: Bundle, network_server: str) -> None:
    with SplitClient(network, network_server) as client:
        answer = client.classify(picture(2))
    again = deepcopy(answer)
    assert again == answer
    assert np.array_equal(again.embedding, answer.embedding)
    assert asdict(answer)["outputs"]["heat"].shape == (6, 8, 8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frames_per_run", [None, 3])
def test_a_network_without_classes_gives_what_it_has(
    tmp_path: Path, way: str, frames_per_run: int | None
) -> None:
    bundle = make_tiny_network(tmp_path / "n", outputs=("code", "heat"), frames_per_run=frames_per_run)
    with serving(bundle) as server, client_for(bundle, server, way) as client:
        pictures = [picture(seed) for seed in range(7)]
        answers = ask(client, way, pictures)
    for given, answer in zip(pictures, answers, strict=True):
        feeds = prepare(Image.fromarray(given), bundle.manifest.input).tensor
        code = EdgeModel(bundle).features(feeds)
        assert code.shape == (1, 390, 1, 1)
        assert answer.top == ()
        assert answer.embedding.shape == (4,)
        with pytest.raises(OutputError, match="this bundle has no classes"):
            answer.class_name  # noqa: B018
    if frames_per_run is None:
        said = said_of(bundle, prepare(Image.fromarray(pictures[0]), bundle.manifest.input).tensor)
        assert np.allclose(answers[0].embedding, said["code"], atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_outputs_over_the_servers_ceiling_are_that_frames_error(network: Bundle, way: str) -> None:
    with (
        serving(network, max_output_bytes=700) as server,
        client_for(network, server, way) as client,
    ):
        outcomes = list(client.stream([picture(0), picture(9)]))
    assert [getattr(each, "code", None) for each in outcomes] == ["OUTPUTS_TOO_LARGE"] * 2
    assert "ask for fewer outputs by name" in getattr(outcomes[0], "message", "")


def test_outputs_over_the_clients_ceiling_are_that_frames_error(network: Bundle, network_server: str) -> None:
    with SplitClient(network, network_server) as client:
        settings = replace(client.settings, max_output_bytes=700)
    with SplitClient(network, network_server, settings=settings) as client:
        (outcome,) = client.stream([picture(0)])
    assert getattr(outcome, "code", None) == "BAD_REPLY"
    assert "more than the 700 that are taken" in getattr(outcome, "message", "")


def test_a_device_that_fails_the_self_test_is_refused(network: Bundle, tmp_path: Path) -> None:
    other = make_tiny_network(tmp_path / "other", seed=5)
    files = {name: network.read(name) for name in network.manifest.files}
    files["edge.onnx"] = other.read("edge.onnx")
    wrong = write_bundle(tmp_path / "wrong", network.manifest, files, {})
    with pytest.raises(BundleError, match="self-test, edge half"):
        EdgeModel(wrong)


def test_large_outputs_that_nobody_fetches_stop_the_reading(
    network: Bundle, network_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.edge_client.delivery._UNCOLLECTED_BYTES", 1)
    settings = ClientSettings(window=WindowPolicy(limit=1))
    with (
        SplitClient(network, network_server, settings=settings) as client,
        client.open_stream([picture(seed) for seed in range(40)]) as stream,
    ):
        outcomes = iter(stream)
        first = next(outcomes)
        time.sleep(0.3)
        # one fetched, one that waits, one under way, one that is ready
        assert stream.handed_in <= 4
        assert len([first, *outcomes]) == 40
