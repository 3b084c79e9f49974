"""`SplitClient` against a real server over real sockets."""

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siftfunnel.edge_client import Answer, EdgeModel, FrameFailure, SplitClient
from siftfunnel.edge_client.errors import BundleMismatch, ServerRefused, ServerUnreachable
from siftfunnel.edge_client.outcome import Outcome
from siftfunnel.edge_client.settings import ClientSettings, ReconnectPolicy, WindowPolicy
from siftfunnel.shared.bundle import Bundle, BundleError
from siftfunnel.shared.preprocess import ImageError, prepare
from siftfunnel.shared.wire import CodecError
from tests.edge_client.conftest import pixels, write_pictures
from tests.tinybundle import run_model

Serve = Callable[..., AbstractContextManager[str]]


def answers(outcomes: list[Outcome]) -> list[Answer]:
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


def test_an_answer_is_what_both_halves_compute(bundle: Bundle, server: str, tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, ["a.png"])
    tensor = prepare(path, bundle.manifest.input).tensor
    features = EdgeModel(bundle).features(tensor)
    logits = run_model(bundle.path("cloud.onnx").read_bytes(), features)
    with SplitClient(bundle, server, codec="fp32", top_k=3) as client:
        answer = client.classify(path)
    assert answer.class_name == bundle.manifest.classes[int(logits.argmax())]
    assert sum(each.score for each in answer.top) == pytest.approx(1.0, abs=1e-5)
    assert [each.score for each in answer.top] == sorted((each.score for each in answer.top), reverse=True)
    assert (answer.source, answer.codec, answer.bundle, answer.sends) == (str(path), "fp32", "tiny", 1)
    assert answer.payload_bytes == 12 * 8 * 8 * 4 + 4
    assert answer.edge_ms > 0
    assert answer.round_trip_ms > 0
    assert answer.server.batch_size == 1


def test_a_picture_may_be_a_path_bytes_a_file_a_pillow_image_or_pixels(bundle: Bundle, server: str) -> None:
    image = Image.fromarray(pixels(1))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    with SplitClient(bundle, server) as client:
        found = [
            client.classify(picture).top
            for picture in (encoded.getvalue(), io.BytesIO(encoded.getvalue()), image, pixels(1))
        ]
    assert found[0] == found[1] == found[2] == found[3]


def test_a_stream_answers_every_picture_once(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client:
        outcomes = list(client.stream(pixels(seed) for seed in range(120)))
    assert sorted(answer.sequence for answer in answers(outcomes)) == list(range(120))
    assert {answer.sends for answer in answers(outcomes)} == {1}


def test_stream_and_single_calls_give_the_same_answer(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client:
        (streamed,) = client.stream([pixels(3)])
        assert isinstance(streamed, Answer)
        assert streamed.top == client.classify(pixels(3)).top


def test_a_client_never_uses_a_number_twice(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server, first_sequence=1000) as client:
        numbers = [client.classify(pixels(0)).sequence]
        numbers += [answer.sequence for answer in answers(list(client.stream([pixels(1), pixels(2)])))]
        numbers += [client.classify(pixels(3)).sequence]
    assert numbers == [1000, 1001, 1002, 1003]


@pytest.mark.parametrize("codec", ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"])
def test_every_codec_of_the_bundle_works(bundle: Bundle, server: str, codec: str) -> None:
    with SplitClient(bundle, server, codec=codec) as client:
        assert client.classify(pixels(0)).codec == codec


def test_the_async_calls_do_the_same(bundle: Bundle, server: str) -> None:
    async def main() -> tuple[Answer, list[Outcome]]:
        async with SplitClient(bundle, server) as client:
            single = await client.aclassify(pixels(0))
            return single, [each async for each in client.astream(pixels(seed) for seed in range(40))]

    single, outcomes = asyncio.run(main())
    assert sorted([single.sequence, *(answer.sequence for answer in answers(outcomes))]) == list(range(41))


def test_async_calls_run_at_the_same_time(bundle: Bundle, server: str) -> None:
    async def main() -> list[Answer]:
        async with SplitClient(bundle, server) as client:
            return await asyncio.gather(*(client.aclassify(pixels(seed)) for seed in range(8)))

    assert {answer.sequence for answer in asyncio.run(main())} == set(range(8))


def test_a_damaged_picture_in_the_middle_is_named_and_the_rest_is_answered(
    bundle: Bundle, server: str, tmp_path: Path
) -> None:
    first, damaged, last = write_pictures(tmp_path, ["a.png", "b.png", "c.png"])
    damaged.write_bytes(damaged.read_bytes()[:60])
    with SplitClient(bundle, server) as client:
        outcomes = list(client.stream([first, damaged, last]))
    assert sorted(answer.source for answer in answers(outcomes)) == [str(first), str(last)]
    (failure,) = (outcome for outcome in outcomes if isinstance(outcome, FrameFailure))
    assert (failure.code, failure.sequence, failure.source) == ("IMAGE", None, str(damaged))
    assert str(damaged) in failure.message


def test_a_damaged_picture_raises_when_it_is_the_only_one(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client, pytest.raises(ImageError, match="not a picture"):
        client.classify(b"no picture at all")


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (5, 0, 3)])
def test_pixels_without_a_pixel_are_an_image_error(bundle: Bundle, shape: tuple[int, int, int]) -> None:
    with SplitClient(bundle, "127.0.0.1:1") as client, pytest.raises(ImageError, match="has no pixels"):
        client.classify(np.zeros(shape, np.uint8))


def test_a_source_that_fails_raises_after_what_it_gave_is_answered(bundle: Bundle, server: str) -> None:
    def failing() -> Iterator[object]:
        yield pixels(0)
        yield pixels(1)
        raise LookupError("the disk is gone")

    collected: list[Outcome] = []
    with SplitClient(bundle, server) as client, pytest.raises(LookupError, match="disk"):
        collected.extend(client.stream(failing()))
    assert len(answers(collected)) == 2


def test_a_stream_may_be_left_in_the_middle(bundle: Bundle, server: str) -> None:
    def endless() -> Iterator[object]:
        while True:
            yield pixels(0)

    with SplitClient(bundle, server) as client:
        for outcome in client.stream(endless()):
            assert isinstance(outcome, Answer)
            break
        assert isinstance(client.classify(pixels(1)), Answer)


def test_two_streams_of_one_client_share_the_numbers(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client:
        one, two = client.stream(pixels(s) for s in range(20)), client.stream(pixels(s) for s in range(20))
        numbers = [outcome.sequence for pair in zip(one, two, strict=True) for outcome in pair]
    assert sorted(number for number in numbers if number is not None) == list(range(40))


def test_another_bundle_is_refused_with_both_digests(
    bundle: Bundle, other_bundle: Bundle, server: str
) -> None:
    with SplitClient(other_bundle, server) as client:
        with pytest.raises(BundleMismatch) as single:
            client.classify(pixels(0))
        with pytest.raises(BundleMismatch) as streamed:
            list(client.stream([pixels(0)]))
    for text in (str(single.value), str(streamed.value)):
        assert bundle.digest in text
        assert other_bundle.digest in text
        assert "same bundle" in text


def test_every_frame_handed_in_has_an_outcome_even_when_the_server_refuses(
    other_bundle: Bundle, server: str
) -> None:
    collected: list[Outcome] = []

    with SplitClient(other_bundle, server) as client, pytest.raises(BundleMismatch):
        collected.extend(client.stream(pixels(seed) for seed in range(5)))
    assert {outcome.code for outcome in collected if isinstance(outcome, FrameFailure)} <= {"REFUSED"}
    numbers = [outcome.sequence for outcome in collected]
    assert len(numbers) == len(set(numbers))


def test_a_missing_server_is_said_so_with_what_to_do(bundle: Bundle, free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with SplitClient(bundle, address, connect_timeout_s=0.3) as client:
        with pytest.raises(ServerUnreachable, match=f"no server at {address}; is `siftfunnel cloud` running"):
            client.classify(pixels(0))
        with pytest.raises(ServerUnreachable, match=f"no server at {address}; is `siftfunnel cloud` running"):
            list(client.stream([pixels(0)]))


def test_a_client_may_be_there_before_its_server(
    bundle: Bundle, serve: Serve, free_port: Callable[[], int]
) -> None:
    port = free_port()
    settings = ClientSettings(reconnect=ReconnectPolicy(initial_ms=20, ceiling_ms=50))
    with SplitClient(bundle, f"127.0.0.1:{port}", settings=settings) as client:
        stream = client.open_stream([pixels(0)])
        outcomes = iter(stream)
        with serve(bundle, port=port):
            assert isinstance(next(outcomes), Answer)


def test_a_server_that_drains_and_comes_back_loses_nothing(
    bundle: Bundle, serve: Serve, free_port: Callable[[], int]
) -> None:
    port = free_port()
    settings = ClientSettings(
        window=WindowPolicy(limit=8), reconnect=ReconnectPolicy(initial_ms=20, ceiling_ms=100)
    )
    collected: list[Outcome] = []
    with SplitClient(bundle, f"127.0.0.1:{port}", settings=settings) as client:
        stream = iter(client.stream(pixels(seed % 10) for seed in range(300)))
        for _ in range(3):
            with serve(bundle, port=port):
                collected += [next(stream) for _ in range(40)]
        with serve(bundle, port=port):
            collected += list(stream)
    assert sorted(answer.sequence for answer in answers(collected)) == list(range(300))


def test_a_budget_of_a_millisecond_is_an_error_per_frame(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server, budget_ms=1) as client:
        outcomes = list(client.stream(pixels(seed, 1600, 1600) for seed in range(3)))
    failures = [outcome for outcome in outcomes if isinstance(outcome, FrameFailure)]
    assert [failure.code for failure in failures] == ["BUDGET_EXCEEDED"] * 3
    assert sorted(failure.sequence or 0 for failure in failures) == [0, 1, 2]


def test_a_server_with_a_narrow_window_still_answers_everything(bundle: Bundle, serve: Serve) -> None:
    with serve(bundle, window=1) as address, SplitClient(bundle, address) as client:
        assert len(answers(list(client.stream(pixels(seed) for seed in range(30))))) == 30


def test_an_unknown_codec_lists_the_known_ones(bundle: Bundle) -> None:
    with pytest.raises(CodecError, match=r"no codec 'q3'.*fp32, fp16"):
        SplitClient(bundle, "127.0.0.1:1", codec="q3")


def test_a_bundle_with_a_changed_edge_half_is_not_loaded(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in bundle.directory.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "edge.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match=r"edge\.onnx"):
        SplitClient(copy, "127.0.0.1:1")


def test_a_device_needs_no_cloud_half(bundle: Bundle, server: str, tmp_path: Path) -> None:
    for name in ("manifest.json", "edge.onnx"):
        (tmp_path / name).write_bytes((bundle.directory / name).read_bytes())
    with SplitClient(tmp_path, server) as client:
        assert isinstance(client.classify(pixels(0)), Answer)


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", "a:b:c", ""])
def test_an_address_of_another_form_is_refused(bundle: Bundle, address: str) -> None:
    with pytest.raises(ValueError, match="server"):
        SplitClient(bundle, address)


@pytest.mark.parametrize(
    "name",
    [
        "top_k",
        "outputs",
        "budget_ms",
        "first_sequence",
        "threads",
        "connect_timeout_s",
        "server",
        "codec",
        "tls",
        "bundle",
    ],
)
def test_an_argument_of_another_type_is_refused_by_its_name(bundle: Bundle, name: str) -> None:
    wrong: Any = [object()]
    given: dict[str, Any] = {"bundle": bundle, "server": "127.0.0.1:1", name: wrong}
    with pytest.raises((TypeError, CodecError), match=f"{name} "):
        SplitClient(**given)


def test_a_closed_client_says_so(bundle: Bundle, server: str) -> None:
    client = SplitClient(bundle, server)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.classify(pixels(0))


def test_something_that_is_no_picture_is_refused_by_type(bundle: Bundle, server: str) -> None:
    with SplitClient(bundle, server) as client, pytest.raises(TypeError, match="a picture is a path"):
        client.classify(42)


def test_a_server_that_speaks_no_grpc_is_not_taken_for_one(bundle: Bundle) -> None:
    import http.server
    import threading

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        address = f"127.0.0.1:{web.server_address[1]}"
        with (
            SplitClient(bundle, address, connect_timeout_s=0.2) as client,
            pytest.raises((ServerUnreachable, ServerRefused), match=address),
        ):
            list(client.stream([pixels(0)]))
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
