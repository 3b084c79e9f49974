"""The gRPC service `siftfunnel.v1.SplitInference`: who may talk, and about which bundle.

Messages of Infer, Stream and StreamBatches pass as bytes: a message is parsed once, where its errors can be
told, and recorded as it came.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc

from siftfunnel.cloud_server.callers import Call, Caller, Door, Refusal
from siftfunnel.cloud_server.catalogue import Catalogue, ServedBundle
from siftfunnel.cloud_server.ceilings import Ceilings, Gate
from siftfunnel.cloud_server.lane import Lane
from siftfunnel.cloud_server.messages import BadMessageError, Messages, Several, check_size
from siftfunnel.cloud_server.metrics import Metrics
from siftfunnel.cloud_server.recorder import FlowRecorder
from siftfunnel.cloud_server.session import (
    CHANGED,
    DRAINING,
    GIVES_WAY,
    SINGLE,
    OpenStream,
    Overhear,
    StreamSession,
    UnaryCall,
    status_of,
)
from siftfunnel.cloud_server.ticket import Wish
from siftfunnel.shared.access import OPEN, Clients, Right
from siftfunnel.shared.call_metadata import (
    BUNDLE_KEY,
    MAX_OUTPUT_BYTES,
    MESSAGE_BYTES_KEY,
    OUTPUTS_KEY,
    SEALED,
    SEALED_KEY,
    TOP_K_KEY,
    WINDOW_KEY,
    read_choice,
)
from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.flows import Direction
from siftfunnel.shared.output_tensors import choose, most_bytes
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.rpc import split_inference_pb2 as pb

SERVICE = "siftfunnel.v1.SplitInference"
_SEVERAL = Several()
_MOST_NAMED = 16
_IDLE_S = 1.0
_UNREAD_BYTES = 64 * 2**20
"""Outputs that a stream whose client takes no replies may make the server hold: they narrow its window."""

Context = Any
"""A `grpc.aio.ServicerContext`; grpc brings no types for it that hold."""


class SplitInferenceService:
    """Handlers, and the calls that are open.

    Args:
        catalogue: what is served.
        metrics: the server's.
        window_frames: unanswered frames per stream.
        version: of this distribution.
        recorder: hears every message, or None.
        ceilings: how many calls may be open, and what a client may do with them.
        clients: who may do what, as it is now.
        max_output_bytes: what the outputs of one reply take at most together.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        metrics: Metrics,
        window_frames: int,
        version: str,
        recorder: FlowRecorder | None = None,
        ceilings: Ceilings | None = None,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        clients: Callable[[], Clients] = lambda: OPEN,
    ) -> None:
        self._catalogue = catalogue
        self._metrics = metrics
        self._window_frames = window_frames
        self._version = version
        self._recorder = recorder
        self._max_output_bytes = max_output_bytes
        self._told = (
            (MESSAGE_BYTES_KEY, str(catalogue.max_message_bytes)),
            (SEALED_KEY, SEALED),
        )
        ceilings = ceilings or Ceilings()
        self._gate = Gate(ceilings.calls, self._make_room)
        self._door = Door(clients, ceilings)
        metrics.calls.set_function(lambda: self._gate.calls_open)
        self._sessions: set[OpenStream] = set()
        self._unary_running = 0
        self._calls = 0
        self._draining = False

    def handler(self) -> grpc.GenericRpcHandler:
        """For `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Describe": grpc.unary_unary_rpc_method_handler(
                    self.describe, pb.DescribeRequest.FromString, pb.DescribeReply.SerializeToString
                ),
                "Infer": grpc.unary_unary_rpc_method_handler(self.infer),
                "Stream": grpc.stream_stream_rpc_method_handler(self.stream),
                "StreamBatches": grpc.stream_stream_rpc_method_handler(self.stream_batches),
            },
        )

    @property
    def calls_open(self) -> int:
        """Calls that were taken and are not over: answered, and the answers taken by the client."""
        return self._gate.calls_open

    @property
    def unanswered(self) -> int:
        """Frames taken that have no reply yet."""
        return self._unary_running + sum(session.unanswered for session in self._sessions)

    @property
    def unread(self) -> int:
        """Replies in streams that their clients have not taken."""
        return sum(session.unread for session in self._sessions)

    def drain(self) -> None:
        """Take no more calls and no more frames; calls end once everything taken is answered."""
        self._draining = True
        for session in self._sessions:
            session.drain()

    async def describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeReply:
        """What this server serves and what it accepts."""
        await self._enter(context, Right.DESCRIBE)
        return pb.DescribeReply(
            bundles=[served.describe(default=place == 0) for place, served in enumerate(self._catalogue)],
            server_version=self._version,
            max_message_bytes=self._catalogue.max_message_bytes,
            window=self._window_frames,
            max_output_bytes=self._max_output_bytes,
        )

    async def infer(self, message: bytes, context: Context) -> bytes:
        """One frame, one reply."""
        caller, served, wish, _ = await self._admit(context)
        overhear = self._overhear(caller, "Infer", served)
        self._unary_running += 1
        try:
            check_size(message, self._catalogue.max_message_bytes)
            reply = await self._unary(caller, served, wish).run(message)
        except BadMessageError as error:
            await self._refuse(context, status_of(error), "bad_message", str(error))
        finally:
            self._unary_running -= 1
        if overhear is not None:
            overhear("up", message)
            overhear("down", reply)
        return reply

    async def stream(self, unused_requests: object, context: Context) -> None:
        """Frames in, replies out; see `StreamSession`."""
        await self._serve(context, "Stream", SINGLE)

    async def stream_batches(self, unused_requests: object, context: Context) -> None:
        """The same, several per message."""
        await self._serve(context, "StreamBatches", _SEVERAL)

    async def answer(
        self, caller: Caller, served: ServedBundle, frames: Sequence[pb.Frame], wish: Wish
    ) -> list[pb.Reply]:
        """Frames of a call in another protocol that was let in; they are recorded as those of Infer."""
        overhear = self._overhear(caller, "Infer", served)
        self._unary_running += len(frames)
        try:
            tickets = await self._unary(caller, served, wish).answer(frames)
        finally:
            self._unary_running -= len(frames)
        if overhear is not None:
            for frame, ticket in zip(frames, tickets, strict=True):
                overhear("up", frame.SerializeToString())
                overhear("down", ticket.sealed() or b"")
        return [pb.Reply.FromString(ticket.reply or b"") for ticket in tickets]

    @contextmanager
    def streaming(self, stream: OpenStream) -> Iterator[None]:
        """While a stream is open: the drain ends it, and it may have to give way."""
        self._sessions.add(stream)
        if self._draining:
            # the drain began while this call was being let in, and did not see it
            stream.drain()
        try:
            yield
        finally:
            self._sessions.discard(stream)

    def end_streams(self, lane: Lane, why: str) -> None:
        """Tell the streams of one bundle to end once what they have taken is answered."""
        for session in self._sessions:
            if session.lane is lane:
                session.drain(why)

    def end_changed(self) -> None:
        """Tell the streams to end whose clients may now do something else."""
        for session in self._sessions:
            if not self._door.still(session.caller):
                session.drain(CHANGED)

    def _unary(self, caller: Caller, served: ServedBundle, wish: Wish) -> UnaryCall:
        seal = ReplySeal(served.bundle.digest)
        return UnaryCall(served.lane, caller, wish, seal, self._output_bytes(served, wish))

    def _output_bytes(self, served: ServedBundle, wish: Wish) -> int:
        """What the outputs of one reply take at most."""
        return most_bytes(served.bundle.manifest.given, wish.outputs, self._max_output_bytes)

    async def _serve(self, context: Context, method: str, messages: Messages) -> None:
        caller, served, wish, window = await self._admit(context)
        overhear = self._overhear(caller, method, served)
        session = StreamSession(
            context,
            served.lane,
            ReplySeal(served.bundle.digest),
            window,
            wish,
            overhear,
            messages,
            caller,
            self._catalogue.max_message_bytes,
            self._output_bytes(served, wish),
        )
        served.metrics.stream_opened()
        try:
            with self.streaming(session):
                await session.run()
        finally:
            served.metrics.stream_closed()

    async def _admit(self, context: Context) -> tuple[Caller, ServedBundle, Wish, int]:
        """Who calls, the bundle and what the call's metadata wish for, its window; or the end of the call."""
        caller = await self._enter(context, Right.INFER)
        metadata = dict(context.invocation_metadata() or ())
        top_k = _top_k(metadata.get(TOP_K_KEY, "1"))
        if top_k is None:
            message = (
                f"metadata {TOP_K_KEY} must be a whole number of at least 1, not {metadata[TOP_K_KEY]!r}"
            )
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "bad_top_k", message)
        digest = metadata.get(BUNDLE_KEY)
        if not isinstance(digest, str) or not is_digest(digest):
            message = (
                f"send the digest of your bundle, 64 lower-case hex digits, as call metadata {BUNDLE_KEY!r}; "
                f"{'it is missing' if digest is None else f'got {digest!r:.80}'}"
            )
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "bad_digest", message)
        served = self._catalogue.get(digest)
        if served is None:
            message = _mismatch(digest, list(self._catalogue))
            await self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "unknown_bundle", message)
        given = served.bundle.manifest.given
        try:
            told = metadata.get(OUTPUTS_KEY)
            positions = choose(given, None if told is None else read_choice(str(told)))
        except ValueError as error:
            message = f"metadata {OUTPUTS_KEY}: {error}"
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "bad_outputs", message)
        wish = Wish(top_k, positions)
        window = self._window(self._output_bytes(served, wish))
        await context.send_initial_metadata(((BUNDLE_KEY, digest), (WINDOW_KEY, str(window)), *self._told))
        return caller, served, wish, window

    def _window(self, output_bytes: int) -> int:
        """Frames that may be unanswered where each reply may hold so many bytes of outputs."""
        return max(1, min(self._window_frames, _UNREAD_BYTES // max(output_bytes, 1)))

    async def _enter(self, context: Context, right: Right) -> Caller:
        """Count the call in, or end it."""
        caller = self.let_in(context, right)
        if isinstance(caller, Refusal):
            await context.abort(caller.status, caller.message)
            raise AssertionError("abort does not return")
        return caller

    def let_in(self, call: Call, right: Right | None) -> Caller | Refusal:
        """Count a call in, if it may have what it asks for and there is room; a refusal is counted.

        Args:
            call: the call.
            right: what it needs; None: nothing.
        """
        caller = self._door.who(call, right)
        if not isinstance(caller, Refusal):
            unavailable = grpc.StatusCode.UNAVAILABLE  # another server, or this one later, may take it
            if self._draining:
                caller = Refusal(unavailable, "draining", DRAINING)
            elif no_room := self._gate.enter(call, caller.key, caller.limits.calls):
                caller = Refusal(unavailable, "no_room", no_room)
        if isinstance(caller, Refusal):
            self._metrics.refused.labels(caller.reason).inc()
        return caller

    def refuses_administration(self, call: Call) -> Refusal | None:
        """Why a call may not see what administrators see, or None; from any thread."""
        client = self._door.client(call, Right.ADMINISTER)
        return client if isinstance(client, Refusal) else None

    def _make_room(self, client: str) -> bool:
        """End the stream of a client that has been idle longest; False where none has been for a while."""
        own = (session for session in self._sessions if session.caller.key == client)
        idlest = max(own, key=lambda session: session.idle_s, default=None)
        if idlest is None or idlest.idle_s <= _IDLE_S:
            return False
        idlest.drain(GIVES_WAY)
        self._metrics.gave_way.inc()
        return True

    async def _refuse(self, context: Context, code: grpc.StatusCode, reason: str, message: str) -> NoReturn:
        self._metrics.refused.labels(reason).inc()
        await context.abort(code, message)
        raise AssertionError("abort does not return")

    def _overhear(self, caller: Caller, method: str, served: ServedBundle) -> Overhear | None:
        recorder = self._recorder
        if recorder is None:
            return None
        self._calls += 1
        connection = f"{caller.peer}#{self._calls}"
        path, digest = f"/{SERVICE}/{method}", served.bundle.digest

        def overhear(direction: Direction, message: bytes) -> None:
            recorder.record(connection, direction, path, digest, message)

        return overhear


def _top_k(text: object) -> int | None:
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    return int(text) or None


def _mismatch(digest: str, served: Sequence[ServedBundle]) -> str:
    known = ", ".join(f"{each.bundle.name} {each.bundle.digest}" for each in served[:_MOST_NAMED])
    rest = f" and {len(served) - _MOST_NAMED} more" if len(served) > _MOST_NAMED else ""
    return (
        f"the call is about bundle {digest}, this server serves {known}{rest}; "
        "give both sides the same bundle"
    )
