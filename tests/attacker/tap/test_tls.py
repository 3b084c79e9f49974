"""Which TLS records belong to the handshake."""

from siftfunnel.attacker.tap.connection import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    TlsProgress,
)


def classified(*records: tuple[str, int]) -> list[bool]:
    progress = TlsProgress()
    return [progress.record(direction, kind) for direction, kind in records]


def test_tls13_ends_its_handshake_with_the_clients_finished() -> None:
    assert classified(
        ("up", HANDSHAKE),
        ("down", HANDSHAKE),
        ("down", CHANGE_CIPHER_SPEC),
        ("down", APPLICATION_DATA),
        ("up", CHANGE_CIPHER_SPEC),
        ("up", APPLICATION_DATA),
        ("up", APPLICATION_DATA),
        ("down", APPLICATION_DATA),
    ) == [True, True, True, True, True, True, False, False]


def test_tls13_may_ask_for_a_second_hello() -> None:
    hellos = [("up", HANDSHAKE), ("down", HANDSHAKE), ("up", HANDSHAKE), ("down", HANDSHAKE)]
    rest = [("down", APPLICATION_DATA), ("up", APPLICATION_DATA), ("up", APPLICATION_DATA)]
    assert classified(*hellos, *rest) == [True] * 6 + [False]


def test_tls12_ends_its_handshake_with_the_first_application_data() -> None:
    assert classified(
        ("up", HANDSHAKE),
        ("down", HANDSHAKE),
        ("up", HANDSHAKE),
        ("up", CHANGE_CIPHER_SPEC),
        ("up", HANDSHAKE),
        ("down", CHANGE_CIPHER_SPEC),
        ("down", HANDSHAKE),
        ("up", APPLICATION_DATA),
        ("down", APPLICATION_DATA),
    ) == [True] * 7 + [False, False]


def test_nothing_is_handshake_on_a_connection_joined_midway() -> None:
    assert TlsProgress(over=True).record("up", ALERT) is False
