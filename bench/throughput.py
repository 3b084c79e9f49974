"""Frames per second of one stream through a running cloud server, against its cloud half run bare in a loop.

Both share one machine, so the two take turns. The client sends payloads that were encoded beforehand: what is
measured is the service, not the device.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.bundle import Bundle, load_bundle
from siftfunnel.shared.ports import STRAIGHT
from siftfunnel.shared.wire import codec_by_name, make_codecs


def measure_stream(
    bundle: Path, server: str, *, codec: str, frames: int = 2000, rounds: int = 5
) -> dict[str, Any]:
    """Median frames per second of the stream and of the bare model, and their ratio.

    Args:
        bundle: directory of a bundle that the server serves.
        server: HOST:PORT of a running cloud server.
        codec: name of the bundle's codec.
        frames: frames per round.
        rounds: turns of each.
    """
    loaded = load_bundle(bundle)
    features = edge_features(loaded)
    chosen = codec_by_name(make_codecs(loaded.manifest, loaded.digest), codec)
    payloads = [chosen.encode(feature) for feature in features]
    session = open_cloud_half(loaded)
    streams, bare = [], {1: [], 16: []}  # type: tuple[list[float], dict[int, list[float]]]
    for _ in range(rounds):
        streams.append(_stream_once(loaded, server, chosen.index, payloads, frames))
        for batch, rates in bare.items():
            rates.append(_bare_once(session, features, frames, batch))
    stream_fps = float(np.median(streams))
    bare_fps = {str(batch): round(float(np.median(rates)), 1) for batch, rates in bare.items()}
    return {
        "bundle": loaded.manifest.name,
        "codec": codec,
        "frames": frames,
        "rounds": rounds,
        "payload_bytes_mean": round(float(np.mean([len(payload) for payload in payloads])), 1),
        "stream_frames_per_s": round(stream_fps, 1),
        "bare_model_frames_per_s_by_batch": bare_fps,
        "stream_to_bare_by_batch": {batch: round(stream_fps / fps, 3) for batch, fps in bare_fps.items()},
    }


def edge_features(bundle: Bundle, count: int = 64) -> NDArray[np.float32]:
    """Features of random pictures from the real edge half, so sparse and scaled like real ones."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(bundle.path("edge.onnx")), options, providers=["CPUExecutionProvider"]
    )
    spec = bundle.manifest.input
    pictures = (
        np.random.default_rng(0).standard_normal((count, 3, spec.height, spec.width)).astype(np.float32)
    )
    features: NDArray[np.float32] = session.run(None, {"image": pictures})[0]
    return features


def open_cloud_half(bundle: Bundle) -> Any:
    """Its cloud half in ONNX Runtime, one thread that does not spin."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(bundle.path("cloud.onnx")), options, providers=["CPUExecutionProvider"]
    )


def _bare_once(session: Any, features: NDArray[np.float32], frames: int, batch: int) -> float:
    piece = np.ascontiguousarray(features[:batch])
    started = time.perf_counter()
    for _ in range(frames // batch):
        session.run(None, {"feature": piece})
    return frames // batch * batch / (time.perf_counter() - started)


def _stream_once(bundle: Bundle, server: str, codec_index: int, payloads: list[bytes], frames: int) -> float:
    import grpc

    from siftfunnel.shared.rpc import split_inference_pb2 as messages
    from siftfunnel.shared.rpc import split_inference_pb2_grpc as stubs

    in_flight = threading.Semaphore(32)

    def requests() -> Iterator[messages.Frame]:
        for sequence in range(frames):
            in_flight.acquire()
            payload = payloads[sequence % len(payloads)]
            yield messages.Frame(sequence=sequence, codec=codec_index, payload=payload)

    with grpc.insecure_channel(server, options=(STRAIGHT,)) as channel:
        stub = stubs.SplitInferenceStub(channel)  # type: ignore[no-untyped-call]
        started = time.perf_counter()
        answered = 0
        for reply in stub.Stream(requests(), metadata=(("siftfunnel-bundle", bundle.digest),)):
            in_flight.release()
            if reply.WhichOneof("outcome") != "prediction":
                raise RuntimeError(f"frame {reply.sequence}: {reply.error.message}")
            answered += 1
        elapsed = time.perf_counter() - started
    if answered != frames:
        raise RuntimeError(f"{answered} answers for {frames} frames")
    return frames / elapsed
