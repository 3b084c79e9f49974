"""Files of clients: what they say, and what they may not."""

import os
import tomllib
from pathlib import Path

import pytest

from siftfunnel import cli
from siftfunnel.shared.access import (
    TOKEN_VARIABLE,
    AccessError,
    ClientLimits,
    ClientsFile,
    Right,
    hash_of,
    new_token,
    parse_clients,
    read_clients,
    read_token,
)

TOKEN = "a-token-that-is-long-enough"


def told(token: str = TOKEN, rights: str = '["infer"]') -> str:
    return f'[clients.camera]\ntoken-sha256 = "{hash_of(token)}"\nrights = {rights}\nframes-per-second = 30\n'


def test_clients_are_known_by_token_or_certificate_and_have_limits_of_their_own() -> None:
    text = told() + '[clients.monitor]\ncertificate = ["a.example", "b.example"]\nrights = "administer"\n'
    clients = parse_clients(tomllib.loads(text))
    camera, monitor = clients.of_token(TOKEN), clients.of_certificate(["x", "b.example"])
    assert camera is not None
    assert monitor is not None
    assert (camera.name, camera.rights, monitor.rights) == ("camera", {Right.INFER}, {Right.ADMINISTER})
    assert camera.limited(ClientLimits(calls=9)) == ClientLimits(calls=9, frames_per_second=30)
    assert (clients.of_token(TOKEN + "x"), clients.of_certificate([])) == (None, None)
    assert clients.anyone.rights == frozenset()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[client.a]", "no key 'client'"),
        ("clients = 3", "must be a table"),
        ('[clients.a]\nrights = ["infer"]', "known by"),
        ('[clients.a]\ntoken-sha256 = "abc"', "64 hexadecimal"),
        (f'[clients.a]\ntoken-sha256 = "{"a" * 64}"\nrights = ["fly"]', "no right 'fly'"),
        (f'[clients.a]\ntoken-sha256 = "{"a" * 64}"\nframes = 0', "frames must be at least 1"),
        (f'[clients.a]\ntoken-sha256 = "{"a" * 64}"\nframes = "many"', "whole number"),
        (f'[clients.a]\ntoken = "{"a" * 64}"', "no key 'token'"),
        (f'[clients."10.0.0.1"]\ntoken-sha256 = "{"a" * 64}"', "begins with a letter"),
        ('[clients.a]\ncertificate = "x"\n[clients.b]\ncertificate = "x"', "show the same"),
        ('[anyone]\ntoken-sha256 = "a"', "no key 'token-sha256'"),
        ("not toml", "TOML"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(text)
    with pytest.raises(AccessError, match=says):
        read_clients(path)


def test_a_changed_file_is_read_again_and_a_wrong_one_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(told())
    file = ClientsFile(path)
    assert not file.refresh()
    path.write_text(told("another-token-of-length"))
    assert file.refresh()
    assert file.clients.of_token(TOKEN) is None
    for wrong in ("[[[", told(rights='["fly"]')):
        path.write_text(wrong)
        assert not file.refresh()
    path.unlink()
    assert not file.refresh()
    assert file.clients.of_token("another-token-of-length") is not None


def test_a_token_is_read_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(f"  {TOKEN}\n")
    monkeypatch.setenv(TOKEN_VARIABLE, "the-variable-has-another")
    assert (read_token(path), read_token(None)) == (TOKEN, "the-variable-has-another")
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    assert read_token(None) is None
    path.write_text("short")
    for wrong in (path, tmp_path / "nothing", tmp_path):
        with pytest.raises(AccessError, match="token"):
            read_token(wrong)


def test_the_command_makes_a_token_and_the_lines_that_know_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "token"
    assert cli.main(["token", "--out", str(out), "--client", "ops", "--right", "administer"]) == 0
    token, lines = read_token(out), capsys.readouterr().out
    assert token is not None
    assert os.stat(out).st_mode & 0o777 == 0o600
    client = parse_clients(tomllib.loads(lines)).of_token(token)
    assert client is not None
    assert (client.name, client.rights) == ("ops", {Right.ADMINISTER})
    assert token not in lines
    assert cli.main(["token", "--out", str(out)]) != 0
    assert read_token(out) == token
    assert cli.main(["token", "--out", str(tmp_path / "no"), "--right", "fly"]) == 2
    assert not (tmp_path / "no").exists()


def test_no_token_is_drawn_twice() -> None:
    assert len({new_token() for _ in range(100)}) == 100
