"""From a tap's events to exchanges and counts: who said what, how large it was, and whether it is new.

A pure state machine: no clock, no threads; times are those of the events. Its owner locks.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any

from siftfunnel.attacker.exchanges import (
    CallKey,
    Census,
    Exchange,
    Heard,
    Pairs,
    Tensors,
    answer_of,
    frame_key,
)
from siftfunnel.attacker.ledger import BundleTally, Ledger
from siftfunnel.attacker.outputs import outputs_of
from siftfunnel.attacker.tap.events import ConnectionClosed, Event, Opaque, Overheard
from siftfunnel.attacker.targets import Target, Targets
from siftfunnel.shared.rpc import split_inference_pb2 as pb

MAX_CONNECTIONS = 4096
KEPT_RECORDS = 120


@dataclass
class Leftovers:
    """What is left to see of an encrypted channel: the latest unreadable records of one tap.

    Attributes:
        records: (time in seconds, direction, bytes), oldest first.
        reason: why the latest one cannot be read.
        total_bytes: all that passed unreadable.
    """

    records: deque[tuple[float, str, int]] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    reason: str | None = None
    total_bytes: int = 0

    def heard(self, event: Opaque) -> None:
        """Take one record into account."""
        self.records.append((event.time_s, event.direction, event.byte_count))
        self.reason = event.reason
        self.total_bytes += event.byte_count

    def as_json(self) -> dict[str, Any]:
        """For the page: times relative to the latest record, seconds."""
        latest = self.records[-1][0] if self.records else 0.0
        return {
            "reason": self.reason,
            "total_bytes": self.total_bytes,
            "latest_s": latest,
            "records": [
                [round(time_s - latest, 4), direction, size] for time_s, direction, size in self.records
            ],
        }


@dataclass
class _Account:
    """Bytes of one connection that were handed to a bundle's tally so far."""

    attributed: int = 0
    tally: BundleTally | None = None


class Intake:
    """Takes events of any number of taps; hands over every frame that was not heard before."""

    def __init__(
        self,
        targets: Targets,
        ledger: Ledger,
        on_new: Callable[[Exchange], None],
        recordings: Collection[str] = (),
    ) -> None:
        """`on_new` receives every new exchange; `recordings` are the taps that read files, not a wire."""
        self._targets = targets
        self._ledger = ledger
        self._on_new = on_new
        self._recordings = frozenset(recordings)
        self._census = Census()
        self._pairs = Pairs()
        self._tensors = Tensors()
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()
        self._count = 0
        self.leftovers: dict[str, Leftovers] = {}

    def take(self, tap: str, event: Event) -> None:
        """Take one event of the tap with this name into account."""
        if isinstance(event, Overheard):
            self._message(tap, event)
        elif isinstance(event, Opaque):
            self.leftovers.setdefault(tap, Leftovers()).heard(event)
        elif isinstance(event, ConnectionClosed):
            self._closed(tap, event)

    def _message(self, tap: str, event: Overheard) -> None:
        account = self._account(tap, event.connection)
        account.attributed += event.wire_bytes
        if event.kind == "other":
            return
        if event.parts is None:
            self._ledger.malformed_messages += 1
            return
        shares = _shares(event.wire_bytes, [part.ByteSize() for part in event.parts])
        for part, wire_bytes in zip(event.parts, shares, strict=True):
            one = replace(event, wire_bytes=wire_bytes)
            if isinstance(part, pb.Frame):
                self._frame(tap, one, part, account)
            else:
                self._reply(tap, one, part, account)

    def _frame(self, tap: str, event: Overheard, frame: pb.Frame, account: _Account) -> None:
        target = self._targets.get(event.digest) if event.digest else None
        if target is None:
            stranger = self._ledger.stranger(event.digest)
            stranger.frames += 1
            stranger.wire_bytes += event.wire_bytes
            return
        exchange = self._identify(tap, event, frame, target)
        early = self._pairs.expect(_call(tap, event), exchange)
        if exchange.tap in self._recordings and tap not in self._recordings:
            self._take_over(exchange, tap, event.connection, target, len(frame.payload))
        if exchange.tap == tap:
            account.tally = self.tally(target)
            self._charge(exchange, event.wire_bytes, target)
        if early is not None:
            self._answered(tap, exchange, early)

    def _charge(self, exchange: Exchange, wire_bytes: int, target: Target) -> None:
        exchange.wire_bytes += wire_bytes
        self.tally(target).charge(exchange.tap, target.codec_name(exchange.codec), wire_bytes)

    def _take_over(
        self, exchange: Exchange, tap: str, connection: str, target: Target, payload_bytes: int
    ) -> None:
        # A recording can be read before the wire's own bytes are parsed; its sizes are worth less.
        tally, codec = self.tally(target), target.codec_name(exchange.codec)
        tally.charge(exchange.tap, codec, -exchange.wire_bytes)
        tally.take_over(exchange.tap, tap, codec, payload_bytes)
        exchange.tap, exchange.connection, exchange.wire_bytes = tap, connection, 0

    def _identify(self, tap: str, event: Overheard, frame: pb.Frame, target: Target) -> Exchange:
        digest = target.bundle.digest
        key = frame_key(digest, frame.sequence, frame.payload)
        exchange, place = self._census.find(tap, key, event.time_s)
        if exchange is not None:
            if exchange.tap == tap:
                self.tally(target).frames_resent += 1
            self._census.note(tap, key, place, exchange)
            return exchange
        exchange = Exchange(
            number=self._count,
            tap=tap,
            connection=event.connection,
            time_s=event.time_s,
            digest=digest,
            sequence=frame.sequence,
            codec=frame.codec,
            payload=frame.payload,
        )
        self._count += 1
        self._census.note(tap, key, place, exchange)
        self.tally(target).heard(tap, target.codec_name(frame.codec), len(frame.payload))
        self._on_new(exchange)
        return exchange

    def _reply(self, tap: str, event: Overheard, reply: pb.Reply, account: _Account) -> None:
        uncharged = event.wire_bytes if account.tally is None else 0
        heard = Heard(answer_of(reply), event.time_s, uncharged, reply.prediction.outputs)
        exchange = self._pairs.take(_call(tap, event), reply.sequence, heard)
        if exchange is not None:
            self._answered(tap, exchange, replace(heard, wire_bytes=event.wire_bytes))
        elif account.tally is not None:
            account.tally.wire_bytes += event.wire_bytes

    def _answered(self, tap: str, exchange: Exchange, heard: Heard) -> None:
        target = self._targets.get(exchange.digest)
        assert target is not None
        tally = self.tally(target)
        if exchange.tap == tap:
            self._charge(exchange, heard.wire_bytes, target)
        if heard.answer is None:
            tally.errors_overheard += exchange.tap == tap
        elif exchange.answer is None:
            exchange.answer, exchange.answered_s = heard.answer, heard.time_s
            tally.answers_overheard += 1
            if exchange.settled:
                self.judge(exchange)
            else:
                self._tensors.keep(exchange, outputs_of(heard.tensors, target.bundle.manifest.given))

    def judge(self, exchange: Exchange) -> None:
        """Count whether an overheard answer was right, once it and the true class are known."""
        target = self._targets.get(exchange.digest)
        right = target.is_right(exchange.answer, exchange.label) if target is not None else None
        if target is not None and right is not None:
            self.tally(target).labelled(right)

    def tally(self, target: Target) -> BundleTally:
        """The tally of a known bundle."""
        return self._ledger.bundle(target.name, target.bundle.digest)

    def _account(self, tap: str, connection: str) -> _Account:
        account = self._accounts.setdefault((tap, connection), _Account())
        self._accounts.move_to_end((tap, connection))
        while len(self._accounts) > MAX_CONNECTIONS:
            self._accounts.popitem(last=False)
        return account

    def _closed(self, tap: str, event: ConnectionClosed) -> None:
        # What passed after the last message (acknowledgements, the end of the call) is its bundle's too.
        account = self._accounts.pop((tap, event.connection), None)
        if account is not None and account.tally is not None:
            account.tally.wire_bytes += max(0, event.traffic.wire_bytes - account.attributed)


def _call(tap: str, event: Overheard) -> CallKey:
    return tap, event.connection, event.stream_id


def _shares(total: int, sizes: list[int]) -> list[int]:
    """A message's bytes on the wire laid on its parts by their sizes; whole numbers that add up to the total.

    >>> _shares(10, [1, 2])
    [3, 7]
    """
    whole = sum(sizes) or 1
    ends = [total * passed // whole for passed in accumulate(sizes)]
    if ends:
        ends[-1] = total
    return [end - start for start, end in pairwise([0, *ends])]
