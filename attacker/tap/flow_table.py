"""All TCP connections of a capture at once: segments in, events out. No socket, no clock, no thread."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from siftfunnel.attacker.tap.boundaries import PREFACE, begins_with_settings
from siftfunnel.attacker.tap.connection import ConnectionTap
from siftfunnel.attacker.tap.events import Direction, Dropped, Event, Settle, other_way
from siftfunnel.attacker.tap.half_flow import HalfFlow, Missed, ReassemblyLimits
from siftfunnel.attacker.tap.packets import Address, Segment

_REMEMBER_CLOSED_S = 60.0
_BEYOND = "segments beyond the window of their connection"

BY_SHAPE = "the shape of its messages"
BY_PORT = "the port numbers"
_UNDECIDED_BYTES, _UNDECIDED_EVENTS = 4 << 20, 256

FlowKey = frozenset[Address]


@dataclass(frozen=True)
class FlowLimits:
    """How many connections are followed at once, and how long a silent one is kept."""

    flows: int = 1024
    idle_s: float = 3600.0


class UnsureTap:
    """A `ConnectionTap` that does not know yet which direction is which: its beginning was not captured.

    Both readings are followed side by side until one of them makes sense: request headers or Frames on their
    way up, response headers or Replies on their way down. Until then nothing is told.

    Args:
        make: makes the tap of a connection whose client is given.
        client: the likelier client, taken where nothing tells; "up" is what it sends.
        server: the other end.
        time_s: when the connection was met.
    """

    def __init__(
        self, make: Callable[[Address], ConnectionTap], client: Address, server: Address, time_s: float
    ) -> None:
        self._readings = (make(client), make(server))
        self._ends = ((str(client), str(server)), (str(server), str(client)))
        self._met_s = time_s
        self._held: tuple[list[Event], list[Event]] = ([], [])
        self._taken_bytes = 0
        self._chosen: int | None = None

    @property
    def buffered_bytes(self) -> int:
        """What is held back until more comes."""
        return sum(tap.buffered_bytes for tap in self._readings)

    def receive(self, direction: Direction, data: bytes, time_s: float) -> list[Event]:
        """See `ConnectionTap.receive`."""
        return self._take(direction, len(data), lambda tap, way: tap.receive(way, data, time_s))

    def lose(self, direction: Direction, byte_count: int, time_s: float, why: str) -> list[Event]:
        """See `ConnectionTap.lose`."""
        return self._take(direction, byte_count, lambda tap, way: tap.lose(way, byte_count, time_s, why))

    def close(self, time_s: float, how: str) -> list[Event]:
        """See `ConnectionTap.close`."""
        events = self._choose(0) if self._chosen is None else []
        return events + self._readings[self._chosen or 0].close(time_s, how)

    def _take(
        self, direction: Direction, byte_count: int, hand: Callable[[ConnectionTap, Direction], list[Event]]
    ) -> list[Event]:
        ways = (direction, other_way(direction))
        if self._chosen is not None:
            return hand(self._readings[self._chosen], ways[self._chosen])
        for tap, way, held in zip(self._readings, ways, self._held, strict=True):
            held += hand(tap, way)
        self._taken_bytes += byte_count
        likely, unlikely = (tap.sense for tap in self._readings)
        if likely != unlikely:
            return self._choose(0 if likely > unlikely else 1)
        most_events = max(map(len, self._held))
        undecided = self._taken_bytes <= _UNDECIDED_BYTES and most_events <= _UNDECIDED_EVENTS
        return [] if undecided else self._choose(0)

    def _choose(self, reading: int) -> list[Event]:
        tap = self._readings[reading]
        told_by = BY_SHAPE if tap.sense else BY_PORT
        opened = replace(tap.opened(self._met_s, *self._ends[reading]), told_by=told_by)
        events: list[Event] = [opened, *self._held[reading]]
        self._chosen, self._held = reading, ([], [])
        return events


class _Flow:
    def __init__(self, client: Address, tap: ConnectionTap | UnsureTap, limits: ReassemblyLimits) -> None:
        self.client = client
        self.tap = tap
        self.latest_s = 0.0
        self.initial_sequence: int | None = None
        self.halves: dict[Direction, HalfFlow] = {"up": HalfFlow(limits), "down": HalfFlow(limits)}


class FlowTable:
    """Follows every connection, from its SYN or from wherever it is met.

    `server_port` tells the directions of connections whose SYN was not seen; without it they follow from the
    first bytes, from the shape of the messages, from the ports of connections seen before, or from the lower
    port number, in that order.
    `payload_bytes` counts what passed, each byte once, missed ones too.
    """

    def __init__(
        self,
        server_port: int | None = None,
        settle: Settle | None = None,
        reassembly: ReassemblyLimits | None = None,
        flow_limits: FlowLimits | None = None,
    ) -> None:
        self._server_port = server_port
        self._server_ports: set[int] = set()
        self._settle = settle
        self._reassembly = reassembly or ReassemblyLimits()
        self._flow_limits = flow_limits or FlowLimits()
        self._flows: OrderedDict[FlowKey, _Flow] = OrderedDict()
        self._closed_s: OrderedDict[FlowKey, float] = OrderedDict()
        self._made = 0
        self.payload_bytes = 0

    @property
    def connections(self) -> int:
        """Connections followed now."""
        return len(self._flows)

    @property
    def buffered_bytes(self) -> int:
        """Everything held back for lack of something."""
        pending = sum(half.pending_bytes for flow in self._flows.values() for half in flow.halves.values())
        return pending + sum(flow.tap.buffered_bytes for flow in self._flows.values())

    def receive(self, segment: Segment, time_s: float) -> list[Event]:
        """Take one segment."""
        key = frozenset((segment.source, segment.destination))
        events: list[Event] = []
        flow = self._flows.get(key)
        if flow is not None and segment.syn and not self._repeats(flow, segment):
            events += self._close(key, time_s, "replaced by a new connection")
            flow = None
        if flow is None:
            if not self._begins(key, segment, time_s):
                return events
            flow = self._open(key, segment, time_s, events)
        flow.latest_s = time_s
        self._flows.move_to_end(key)
        return events + self._take(key, flow, segment, time_s)

    def tick(self, time_s: float) -> list[Event]:
        """Let time pass: holes waited for too long, connections silent too long."""
        events: list[Event] = []
        for flow in self._flows.values():
            for direction, half in flow.halves.items():
                events += self._give_out(flow, direction, half.expire(time_s), time_s)
        idle = [k for k, flow in self._flows.items() if time_s - flow.latest_s > self._flow_limits.idle_s]
        for key in idle:
            events += self._close(key, time_s, "idle")
        return events

    def close(self, time_s: float, how: str) -> list[Event]:
        """The capture is over."""
        return [event for key in list(self._flows) for event in self._close(key, time_s, how)]

    # -- connections ----------------------------------------------------------------------------------------

    def _repeats(self, flow: _Flow, segment: Segment) -> bool:
        """Whether a SYN is one of this connection seen before, or its other half."""
        if segment.ack:
            return True
        return segment.source == flow.client and flow.initial_sequence == segment.sequence

    def _begins(self, key: FlowKey, segment: Segment, time_s: float) -> bool:
        """Whether a segment of an unknown connection is worth following (stragglers are not)."""
        if segment.syn:
            self._closed_s.pop(key, None)
            return True
        closed_s = self._closed_s.get(key)
        if closed_s is not None and time_s - closed_s <= _REMEMBER_CLOSED_S:
            return False
        return segment.payload_bytes > 0

    def _open(self, key: FlowKey, segment: Segment, time_s: float, events: list[Event]) -> _Flow:
        if len(self._flows) >= self._flow_limits.flows:
            oldest = next(iter(self._flows))
            why = "too many at once: the quietest was let go"
            events.append(Dropped(None, time_s, 1, "connections", why))
            events += self._close(oldest, time_s, "let go")
        self._made += 1
        tap: ConnectionTap | UnsureTap
        if (ends := self._ends(segment)) is not None:
            client, server = ends
            tap = self._tap(client, joined_midway=not segment.syn)
            events.append(tap.opened(time_s, str(client), str(server)))
        else:
            client, server = self._likely_ends(segment)
            tap = UnsureTap(self._tap, client, server, time_s)
        if segment.syn:
            self._server_ports.add(server.port)
        flow = self._flows[key] = _Flow(client, tap, self._reassembly)
        return flow

    def _tap(self, client: Address, joined_midway: bool = True) -> ConnectionTap:
        return ConnectionTap(f"{client}#{self._made}", joined_midway, self._settle)

    def _ends(self, segment: Segment) -> tuple[Address, Address] | None:
        """Client and server of a new connection; None where its first segment leaves that open."""
        ends = (segment.source, segment.destination)
        if segment.syn:
            return ends[::-1] if segment.ack else ends
        given = [end for end in ends if end.port == self._server_port]
        if len(given) == 1:
            return ends if given[0] == segment.destination else ends[::-1]
        if segment.payload.startswith(PREFACE[:8]):
            return ends
        return ends[::-1] if begins_with_settings(segment.payload) else None

    def _likely_ends(self, segment: Segment) -> tuple[Address, Address]:
        ends = (segment.source, segment.destination)
        known = [end for end in ends if end.port in self._server_ports]
        server = known[0] if len(known) == 1 else min(ends, key=lambda end: end.port)
        return ends if server == segment.destination else ends[::-1]

    def _close(self, key: FlowKey, time_s: float, how: str) -> list[Event]:
        flow = self._flows.pop(key)
        self._closed_s[key] = time_s
        while len(self._closed_s) > self._flow_limits.flows:
            self._closed_s.popitem(last=False)
        events: list[Event] = []
        for direction, half in flow.halves.items():
            events += self._give_out(flow, direction, half.finish(), time_s)
        return events + flow.tap.close(time_s, how)

    # -- bytes ----------------------------------------------------------------------------------------------

    def _take(self, key: FlowKey, flow: _Flow, segment: Segment, time_s: float) -> list[Event]:
        direction: Direction = "up" if segment.source == flow.client else "down"
        half = flow.halves[direction]
        if segment.syn:
            self._synchronise(flow, direction, segment)
            return []
        if segment.rst:
            return self._close(key, time_s, "reset") if half.is_expected(segment.sequence) else []
        events: list[Event] = []
        if segment.ack:
            back = other_way(direction)
            acknowledged = flow.halves[back].acknowledge(segment.acknowledgement, time_s)
            events += self._give_out(flow, back, acknowledged, time_s)
        if segment.payload_bytes and half.is_beyond(segment.sequence):
            events.append(Dropped(None, time_s, 1, "packets", _BEYOND))
        events += self._give_out(flow, direction, half.receive(segment, time_s), time_s)
        if all(half.ended for half in flow.halves.values()):
            events += self._close(key, time_s, "closed")
        return events

    def _synchronise(self, flow: _Flow, direction: Direction, segment: Segment) -> None:
        if direction == "up":
            flow.initial_sequence = segment.sequence
        elif flow.initial_sequence is None:
            flow.initial_sequence = (segment.acknowledgement - 1) % (1 << 32)
        if not flow.halves[direction].synchronised:
            flow.halves[direction].begin((segment.sequence + 1) % (1 << 32))
        if segment.ack and not flow.halves["up"].synchronised:
            flow.halves["up"].begin(segment.acknowledgement)

    def _give_out(
        self, flow: _Flow, direction: Direction, parts: list[bytes | Missed], time_s: float
    ) -> list[Event]:
        events: list[Event] = []
        for part in parts:
            self.payload_bytes += part.byte_count if isinstance(part, Missed) else len(part)
            if isinstance(part, Missed):
                events += flow.tap.lose(direction, part.byte_count, time_s, part.why)
            else:
                events += flow.tap.receive(direction, part, time_s)
        return events
