"""`SplitClient`: one object for a program that wants pictures classified by a split network."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from siftfunnel.edge_client.address import ServerAddress
from siftfunnel.edge_client.delivery import STOPPED, Delivery
from siftfunnel.edge_client.encoder import Encoder
from siftfunnel.edge_client.errors import FrameFailed
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.edge_client.outcome import CANCELLED, Answer, Outcome
from siftfunnel.edge_client.picture import Picture, as_picture
from siftfunnel.edge_client.producer import OnHandedIn, Producer
from siftfunnel.edge_client.reconnection import Reconnection
from siftfunnel.edge_client.replies import Expected
from siftfunnel.edge_client.servers import KeptConnection, Rotation
from siftfunnel.edge_client.settings import ClientSettings
from siftfunnel.edge_client.settlement import Agreement
from siftfunnel.edge_client.sources.source import IterableSource, Source
from siftfunnel.edge_client.streaming import OutcomeStream
from siftfunnel.edge_client.transport import Ask, StreamCall
from siftfunnel.edge_client.window import InFlightWindow
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.reply_seal import ReplySeal
from siftfunnel.shared.tls import TlsFiles

LIVE_WINDOW = 4
_MOST_IDLE = 4
"""Streams for single pictures that stay open when nobody needs them."""


class SplitClient:
    """Classifies pictures with the edge half here and the cloud half on a server.

    Args:
        bundle: a loaded bundle, its directory, or the name of a shipped one.
        server: HOST:PORT of a `siftfunnel cloud`, or several with commas between: streams go to them in
            turn, and what one server cannot take any more goes to the next.
        codec: name of a codec of the bundle; its default where left out.
        tls: certificate files, True for the authorities that ship with grpc, None for plain text.
        tls_name: the name in the server's certificate where it is not the host's.
        token: what the server knows this client by, or None.
        settings: everything else; keyword arguments below replace single values of it.
        top_k: see `ClientSettings`, like the next four.
        outputs: likewise.
        budget_ms: likewise.
        first_sequence: likewise.
        threads: likewise.
        connect_timeout_s: time without a server after which calls give up; what may pass by itself, such as a
            clock that is not set or certificates that are being renewed, is told and waited for as long.
        bundles: folders in which a bundle's name is looked up besides the shipped ones.

    Raises:
        BundleError: the bundle is not there or has changed.
        CodecError: the bundle has no such codec.
        ModelError: the edge half does not load.
        ValueError: an address or setting that makes no sense, or an output that the bundle does not have.
        TypeError: an address or setting of another type.

    Example:
        with SplitClient("bundles/mine", "server:50051", codec="q4") as client:
            print(client.classify("cat.jpg").class_name)
            for outcome in client.stream(["a.jpg", "b.jpg"]):
                print(outcome)

        async with SplitClient("bundles/mine", "server:50051") as client:
            print((await client.aclassify("cat.jpg")).class_name)
            async for outcome in client.astream(["a.jpg", "b.jpg"]):
                print(outcome)
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        server: str,
        *,
        codec: str | None = None,
        tls: TlsFiles | bool | None = None,
        tls_name: str | None = None,
        token: str | None = None,
        settings: ClientSettings | None = None,
        top_k: int | None = None,
        outputs: Iterable[str] | None = None,
        budget_ms: int | None = None,
        first_sequence: int | None = None,
        threads: int | None = None,
        connect_timeout_s: float | None = None,
        bundles: Iterable[str | Path] = (),
    ) -> None:
        given: dict[str, Any] = {
            "top_k": top_k,
            "outputs": outputs,
            "budget_ms": budget_ms,
            "first_sequence": first_sequence,
            "threads": threads,
        }
        settings = settings or ClientSettings()
        if connect_timeout_s is not None:
            given["reconnect"] = replace(settings.reconnect, connect_timeout_s=connect_timeout_s)
        self.settings = settings = replace(
            settings, **{name: value for name, value in given.items() if value is not None}
        )
        self._address = ServerAddress(server, tls, tls_name, token)
        self._servers = Rotation(self._address, first=random.randrange(len(self._address.each)))
        self._encoder = Encoder(EdgeModel(bundle, threads=settings.threads, bundles=bundles), codec)
        self._numbers = itertools.count(settings.first_sequence)
        codec_index = self._encoder.codec.index
        self._agreement = Agreement(
            self.bundle.name,
            Expected.of(self.bundle.manifest, settings.outputs, settings.max_output_bytes),
            self.codec,
            codec_index,
            ReplySeal(self.bundle.digest),
            settings.pad,
        )
        self._ask = Ask(self.bundle.digest, settings.top_k, settings.outputs, settings.max_output_bytes)
        self._kept = KeptConnection(self._servers, self._ask, settings.window.reply_timeout_s)
        self._singles: set[Delivery] = set()
        self._idle: list[Delivery] = []
        self._streams: set[OutcomeStream] = set()
        self._closed = False

    @property
    def bundle(self) -> Bundle:
        """The bundle in use."""
        return self._encoder.model.bundle

    @property
    def codec(self) -> str:
        """Name of the codec in use."""
        return self._encoder.codec.name

    @property
    def server(self) -> str:
        """Address of the server."""
        return self._address.target

    def __repr__(self) -> str:
        return f"SplitClient({self.bundle.name!r}, {self._address.target!r}, codec={self.codec!r})"

    def classify(self, picture: object, label: str | None = None) -> Answer:
        """Classify one picture: a path, encoded bytes, a binary file, a Pillow image, or uint8 RGB pixels.

        With a budget it comes back when that is over, answered or not.

        Raises:
            ImageError: the picture does not decode.
            FrameFailed: there is an error for this frame, from the server, or because its budget ran out or
                the client was closed; `failure` tells which.
            ServerUnreachable: no server within the connect timeout.
            ServerRefused: it does not serve this bundle (`BundleMismatch`), or not this client.
        """
        delivery = self._single()
        try:
            return self._classify(picture, label, delivery)
        finally:
            self._give_back(delivery)

    def _single(self) -> Delivery:
        """A stream for one frame at a time, open already where one is idle; all share a connection."""
        while self._idle:
            with suppress(IndexError):  # another thread may take the last one
                delivery = self._idle.pop()
                if delivery.idle:
                    return delivery
                self._singles.discard(delivery)
        delivery = self._delivery(self._kept.call)
        self._singles.add(delivery)
        # here, so that `close` either has seen it or is seen
        self._check_open()
        return delivery

    def _give_back(self, delivery: Delivery) -> None:
        if delivery.idle and len(self._idle) < _MOST_IDLE:
            self._idle.append(delivery)
        else:
            delivery.finish()
            self._singles.discard(delivery)

    def _classify(self, picture: object, label: str | None, delivery: Delivery) -> Answer:
        read_s = time.monotonic()
        encoded = self._encoder.encode(replace(as_picture(picture, label), index=0, read_s=read_s))
        outcome = delivery.deliver(encoded.frame(next(self._numbers), self.settings.budget_ms))
        if isinstance(outcome, Answer):
            return outcome
        raise delivery.error or FrameFailed(outcome)

    def stream(
        self, source: Source | Iterable[object], *, on_handed_in: OnHandedIn | None = None
    ) -> Iterator[Outcome]:
        """Send pictures through one stream and give out what becomes of each, as it comes.

        Every picture handed in has exactly one outcome: an `Answer`, a `FrameFailure`, or, for a live source,
        `Superseded`. Its `index` says which picture it is about: outcomes do not come in order where one does
        not decode or is sent again. Reading, the edge half and encoding run on a thread of their own.

        Args:
            source: pictures as `classify` takes them, or one of `siftfunnel.edge_client.sources`.
            on_handed_in: sees the sequence and the encoded frame before it is sent.

        Raises:
            ServerUnreachable, ServerRefused: after the outcomes of everything handed in.
            SourceError: the source failed; likewise after all outcomes. So does any exception that the
                source raises itself.
            TypeError: one picture instead of several.
        """
        with self.open_stream(source, on_handed_in=on_handed_in) as stream:
            yield from stream

    async def aclassify(self, picture: object, label: str | None = None) -> Answer:
        """`classify` for callers with an event loop; done on a thread, and cancelled with the task."""
        delivery = self._single()
        try:
            return await asyncio.to_thread(self._classify, picture, label, delivery)
        except asyncio.CancelledError:
            delivery.abandon(CANCELLED, STOPPED)
            raise
        finally:
            self._give_back(delivery)

    async def astream(
        self, source: Source | Iterable[object], *, on_handed_in: OnHandedIn | None = None
    ) -> AsyncIterator[Outcome]:
        """`stream` for callers with an event loop; the source is read on a thread."""
        stream = self.open_stream(source, on_handed_in=on_handed_in)
        try:
            async for outcome in stream:
                yield outcome
        finally:
            await asyncio.to_thread(stream.close)

    def open_stream(
        self, source: Source | Iterable[object], *, on_handed_in: OnHandedIn | None = None
    ) -> OutcomeStream:
        """`stream` as an object that can also be stopped from elsewhere; a context manager."""
        self._check_open()
        pictures = source if isinstance(source, Source) else IterableSource(_several(source))
        frames_per_message = 1 if pictures.keeps_latest else self.settings.frames_per_message
        delivery = self._delivery(
            lambda: StreamCall(self._servers.turn(), self._ask, frames_per_message > 1), frames_per_message
        )
        producer = Producer(
            pictures,
            self._encoder,
            delivery,
            self._numbers,
            budget_ms=self.settings.budget_ms,
            on_handed_in=on_handed_in,
            limit=LIVE_WINDOW if pictures.keeps_latest else None,
        )
        stream = OutcomeStream(delivery, producer, self._streams.discard)
        self._streams.add(stream)
        return stream

    def _delivery(self, dial: Callable[[], StreamCall], frames_per_message: int = 1) -> Delivery:
        return Delivery(
            dial,
            InFlightWindow(self.settings.window, random.random),
            Reconnection(self.settings.reconnect, random.random, len(self._servers)),
            self._agreement,
            self._address,
            frames_per_message=frames_per_message,
        )

    def close(self) -> None:
        """End all streams and calls, and free the connections; twice does no harm."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        for delivery in list(self._singles):
            delivery.abandon(CANCELLED, STOPPED)
        self._kept.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)


def _several(source: Iterable[object]) -> Iterable[object]:
    """Refuse what Python could iterate and nobody means: the letters of a path, the rows of a picture."""
    pixels = isinstance(source, np.ndarray) and source.dtype.kind in "biuf" and source.ndim < 4
    one = isinstance(source, (str, PathLike, bytes, Picture, Image.Image)) or hasattr(source, "read")
    if one or pixels or not isinstance(source, Iterable):
        raise TypeError(
            f"a stream takes several pictures, not one {type(source).__name__}; give a list or a source "
            "such as `siftfunnel.edge_client.sources.directory.DirectorySource`, or one picture to `classify`"
        )
    return source
