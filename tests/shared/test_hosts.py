import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.hosts import is_host_name, is_own_origin, names_this_machine


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9300", "localhost", "LOCALHOST:80", "[::1]", "[::1]:8080", "127.9.9.9:1"]
)
def test_loopback_is_this_machine(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1:1:2",
        "127.0.0.1/",
        "0x7f.1",
        "::1",
        "[::1",
        "[evil]",
        "localhost\n",
        " localhost",
        "127.0.0.1, evil.example",
        "\uff18.8.8.8",
    ],
)
def test_whatever_else_is_not(host: str | None) -> None:
    assert not names_this_machine(host)
    assert not names_this_machine(host, addresses=True)


def test_addresses_and_names_are_allowed_where_they_were_allowed() -> None:
    assert not names_this_machine("192.168.1.7:8080")
    assert names_this_machine("192.168.1.7:8080", addresses=True)
    assert names_this_machine("[fe80::1]:8080", addresses=True)
    assert not names_this_machine("demo.local:8080", addresses=True)
    assert names_this_machine("Demo.local:8080", {"demo.local"})


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("http://demo.example", True),
        ("http://127.0.0.1:9999", False),
        ("http://localhost:8080", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_orders_come_from_the_same_host_and_port_or_from_an_allowed_name(
    origin: str | None, own: bool
) -> None:
    assert is_own_origin(origin, "127.0.0.1:8080", {"demo.example"}) is own


def test_a_host_name_has_no_port() -> None:
    assert [is_host_name(name) for name in ("demo.local", "demo.local:80", "a b", "", "[::1]")] == [
        True,
        False,
        False,
        False,
        False,
    ]


@given(st.text(max_size=40))
def test_no_text_is_an_accident(text: str) -> None:
    names_this_machine(text, addresses=True)
    is_own_origin(text, text)
