"""Counts behind a feed's state."""

from siftfunnel.attacker.feeds.feed import Tally
from siftfunnel.attacker.tap.events import ConnectionClosed, ConnectionOpened, Dropped, Opaque, Traffic


def test_connections_are_counted_open_and_seen() -> None:
    tally = Tally()
    tally.note(ConnectionOpened("a", 0.0, "x", "y", joined_midway=False))
    tally.note(ConnectionOpened("b", 0.0, "x", "y", joined_midway=True))
    tally.note(ConnectionClosed("a", 0.0, "closed", Traffic()))
    counts = tally.read()
    assert [counts[name] for name in ("connections_open", "connections_seen", "midway_connections")] == [
        1,
        2,
        1,
    ]


def test_an_encrypted_connection_is_counted_once() -> None:
    tally = Tally()
    for connection, reason in [("a", "tls handshake"), ("a", "tls"), ("b", "not http2"), ("c", "tls")]:
        tally.note(Opaque(connection, 0.0, "up", 10, reason, Traffic()))
    assert (tally.read()["encrypted_connections"], tally.read()["opaque_bytes"]) == (2, 40)


def test_losses_that_differ_in_detail_only_share_a_line() -> None:
    tally = Tally()
    for stream in range(1000):
        tally.note(Dropped("a", 0.0, 1, "messages", f"damaged frame (stream {stream})"))
    assert tally.read()["dropped"] == {"messages: damaged frame": 1000}


def test_kinds_of_losses_are_bounded() -> None:
    tally = Tally()
    for number in range(1000):
        tally.drop(f"messages: kind {number}")
    dropped = tally.read()["dropped"]
    assert len(dropped) <= 51
    assert sum(dropped.values()) == 1000
