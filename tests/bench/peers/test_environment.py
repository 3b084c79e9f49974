"""Environments for peers, made by a stand-in for Python, so that nothing is installed."""

from pathlib import Path

import pytest

from siftfunnel.bench.peers.environment import (
    READY,
    Environment,
    PeerUnavailableError,
    cache_folder,
)


def quiet(text: str) -> None:
    """No progress."""


@pytest.fixture
def interpreter(tmp_path: Path) -> str:
    """A stand-in for Python: makes a folder with itself in it, and "installs" what is not missing."""
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; exit; fi\n'
        'case "$*" in *missing*) echo "one" >&2; echo "no missing-1.0 here" >&2; exit 1;; esac\n'
    )
    program.chmod(0o755)
    return str(program)


def test_an_environment_is_made_once_and_made_again_where_it_was_left_half_made(
    tmp_path: Path, interpreter: str
) -> None:
    shown: list[str] = []
    environment = Environment("peer", ("peculiar==1.0",), lambda: interpreter)
    python = environment.prepare(tmp_path / "cache", shown.append)
    assert python.exists()
    environment.prepare(tmp_path / "cache", shown.append)
    assert len(shown) == 1
    (environment.folder(tmp_path / "cache") / READY).unlink()
    environment.prepare(tmp_path / "cache", shown.append)
    assert len(shown) == 2


def test_another_list_of_requirements_is_another_folder(tmp_path: Path) -> None:
    assert Environment("a", ("x==1",)).folder(tmp_path) != Environment("a", ("x==2",)).folder(tmp_path)


def test_what_pip_refuses_is_quoted(tmp_path: Path, interpreter: str) -> None:
    environment = Environment("peer", ("missing==1.0",), lambda: interpreter)
    with pytest.raises(PeerUnavailableError, match=r"peer cannot be installed: one / no missing-1\.0 here"):
        environment.prepare(tmp_path / "cache", quiet)
    assert not (environment.folder(tmp_path / "cache") / READY).exists()


def test_environments_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "siftfunnel" / "peers"
