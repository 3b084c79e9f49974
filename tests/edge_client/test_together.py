"""A live source through two bundles at once: what is left out is left out, and counted, for both."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from siftfunnel.edge_client import Answer, SplitClient
from siftfunnel.edge_client.outcome import Superseded
from siftfunnel.edge_client.together import Together
from siftfunnel.shared.bundle import Bundle
from tests.edge_client.test_live import Live


def test_a_live_source_leaves_out_the_same_pictures_for_both(
    serve: Callable[..., AbstractContextManager[str]], bundle: Bundle, other_bundle: Bundle
) -> None:
    frames = 400
    with (
        serve(bundle, other_bundle) as server,
        SplitClient(bundle, server) as one,
        SplitClient(other_bundle, server) as other,
        Together([one, other], Live(frames), lambda client: None) as together,
    ):
        outcomes = [(part.client.bundle.name, outcome) for part, outcome in together]
    answered, superseded = (
        {
            name: {each.sequence for owner, each in outcomes if owner == name and isinstance(each, kind)}
            for name in ("tiny", "other")
        }
        for kind in (Answer, Superseded)
    )
    assert answered["tiny"] == answered["other"] != set()
    assert superseded["tiny"] == superseded["other"] != set()
    assert answered["tiny"] | superseded["tiny"] == set(range(frames))
    for part in together.parts:
        assert part.handed_in == frames
