"""What Prometheus can ask for, in a registry of its own.

Every frame that was read ends in exactly one `siftfunnel_frames_total` sample: the outcomes add up.
"""

from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from siftfunnel.shared.rpc import split_inference_pb2 as pb

ANSWERED, ABANDONED = "answered", "abandoned"
ERROR_OUTCOMES = {code: name.lower() for name, code in pb.FrameError.Code.items() if code}
"""Outcome of a frame that was answered with an error, by error code."""
OUTCOMES = (ANSWERED, ABANDONED, *ERROR_OUTCOMES.values())
UNKNOWN_CODEC = "unknown"

_MS = 0.001
_TIME_BUCKETS_S = [ms * _MS for ms in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)]
_DECODE_BUCKETS_S = [ms * _MS for ms in (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)]
_BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128]


class Metrics:
    """All instruments of one server; safe to use from any thread.

    Attributes:
        registry: shared with nothing else, so that two servers fit into one process.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=own)
        bundle, codec, times_s = ["bundle"], ["bundle", "codec"], _TIME_BUCKETS_S
        self.frames = Counter("siftfunnel_frames", "Frames, by outcome.", [*codec, "outcome"], registry=own)
        self.payload_bytes = Counter("siftfunnel_payload_bytes", "Payload read.", codec, registry=own)
        self.queue_s = Histogram(
            "siftfunnel_queue_seconds",
            "Arrival until a batch took it.",
            bundle,
            buckets=times_s,
            registry=own,
        )
        self.decode_s = Histogram(
            "siftfunnel_decode_seconds", "Per frame.", codec, buckets=_DECODE_BUCKETS_S, registry=own
        )
        self.compute_s = Histogram(
            "siftfunnel_compute_seconds", "Cloud half, per batch.", bundle, buckets=times_s, registry=own
        )
        self.batch_size = Histogram(
            "siftfunnel_batch_size", "Frames per batch.", bundle, buckets=_BATCH_BUCKETS, registry=own
        )
        self.calls = Gauge("siftfunnel_calls_open", "Calls open now, of all kinds.", registry=own)
        self.streams = Gauge("siftfunnel_streams_open", "Streams open now.", bundle, registry=own)
        self.queued = Gauge("siftfunnel_queue_frames", "Frames waiting now.", bundle, registry=own)
        self.info = Gauge("siftfunnel_bundle_info", "1 if served.", ["bundle", "digest"], registry=own)
        self.refused = Counter(
            "siftfunnel_refused_calls", "Calls ended before a frame was read.", ["reason"], registry=own
        )
        self.gave_way = Counter(
            "siftfunnel_streams_gave_way", "Idle streams ended to make room for others.", registry=own
        )
        self.recorded = Counter("siftfunnel_recorded_flows", "Messages in the flow file.", registry=own)
        self.record_drops = Counter(
            "siftfunnel_record_drops", "Messages kept out of the flow file.", ["reason"], registry=own
        )
        self.ready = Gauge("siftfunnel_ready", "1 while new streams are taken.", registry=own)

    def for_bundle(self, label: str, digest: str, codecs: Sequence[str]) -> "BundleMetrics":
        """Instruments of one bundle, their labels looked up once."""
        self.info.labels(label, digest).set(1)
        return BundleMetrics(self, label, codecs)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)


class BundleMetrics:
    """The instruments of one bundle; safe to use from any thread.

    Args:
        metrics: the server's.
        label: the bundle's name as its series carry it.
        codecs: names in wire order.
    """

    def __init__(self, metrics: Metrics, label: str, codecs: Sequence[str]) -> None:
        self._known = len(codecs)
        names = (*codecs, UNKNOWN_CODEC)
        self._outcomes: list[dict[str, Counter]] = [{} for _ in names]
        self._frames = [partial(metrics.frames.labels, label, name) for name in names]
        self._payload = [metrics.payload_bytes.labels(label, name) for name in names]
        self._decode_s = [metrics.decode_s.labels(label, name) for name in codecs]
        self._queue_s = metrics.queue_s.labels(label)
        self._compute_s = metrics.compute_s.labels(label)
        self._batch_size = metrics.batch_size.labels(label)
        self._streams = metrics.streams.labels(label)
        self._queued = metrics.queued.labels(label)

    def received(self, codec: int, payload_bytes: int) -> None:
        """A frame was read."""
        self._payload[min(codec, self._known)].inc(payload_bytes)

    def ended(self, codec: int, outcome: str, count: int = 1) -> None:
        """Some frames met their one outcome, one of `OUTCOMES`."""
        codec = min(codec, self._known)
        counter = self._outcomes[codec].get(outcome)
        if counter is None:
            counter = self._outcomes[codec][outcome] = self._frames[codec](outcome)
        counter.inc(count)

    def decoded(self, codec: int, queue_s: float, decode_s: float) -> None:
        """A worker turned a frame's payload into a tensor."""
        self._queue_s.observe(queue_s)
        self._decode_s[codec].observe(decode_s)

    def ran(self, batch_size: int, compute_s: float) -> None:
        """The cloud half ran once."""
        self._batch_size.observe(batch_size)
        self._compute_s.observe(compute_s)

    def stream_opened(self) -> None:
        """One more stream."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """One stream less."""
        self._streams.dec()

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Read the queue's length when Prometheus asks for it."""
        self._queued.set_function(length)
