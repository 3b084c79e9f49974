"""What a visitor may look at again or take away: the latest pairs, as data, as pictures, as a GIF."""

import io
import threading
from collections.abc import Mapping

from fastapi import FastAPI, Response

from siftfunnel.attacker.knowledge import Target
from siftfunnel.attacker.sheet import history_gif, pair_sheet
from siftfunnel.attacker.side_by_side import Pair
from siftfunnel.attacker.web.gate import Refusal
from siftfunnel.attacker.web.hub import Hub, encode
from siftfunnel.shared.plain_words import title_of

READ = ["GET", "HEAD"]
GIF_PAIRS = 12


def add_keepsakes(app: FastAPI, hub: Hub, targets: Mapping[str, Target]) -> None:
    """Add `GET /pair/NUMBER`, `/pair/NUMBER.png` and `/history.gif?until=NUMBER`; drawing takes turns."""
    drawing = threading.Lock()

    def title(digest: str) -> str:
        return title_of(targets[digest].bundle.manifest)

    def pair_called(number: str) -> Pair:
        for pair in hub.pairs():
            if str(pair.number) == number:
                return pair
        raise Refusal(404, f"pair {number[:20]} is not among the latest ones; nothing older is kept")

    @app.api_route("/pair/{number}.png", methods=READ)
    def pair_png(number: str) -> Response:
        stored = io.BytesIO()
        with drawing:
            pair_sheet(pair_called(number), title).save(stored, "PNG")
        return _file(stored.getvalue(), "image/png", f"siftfunnel-{number}.png")

    @app.api_route("/pair/{number}", methods=READ)
    async def pair_json(number: str) -> Response:
        told = {**pair_called(number).as_json(), "kept": True}
        return Response(encode(told), media_type="application/json")

    @app.api_route("/history.gif", methods=READ)
    def gif(until: int | None = None) -> Response:
        pairs = [pair for pair in hub.pairs() if until is None or pair.number <= until]
        with drawing:
            try:
                picture = history_gif(pairs[-GIF_PAIRS:], title)
            except ValueError as error:
                raise Refusal(404, str(error)) from None
        return _file(picture, "image/gif", "siftfunnel.gif")


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
