"""Environments for peers, with packages from a folder, so that no index is needed."""

import zipfile
from pathlib import Path

import pytest

from siftfunnel.bench.peers import PEERS
from siftfunnel.bench.peers.environment import (
    READY,
    Environment,
    PeerUnavailableError,
    cache_folder,
    last_lines,
    same_onnxruntime,
)


def quiet(text: str) -> None:
    """No progress."""


def wheel(folder: Path) -> str:
    """A package of one module, as a file that pip installs without an index."""
    path = folder / "peculiar-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("peculiar.py", "VALUE = 7\n")
        about = "Metadata-Version: 2.1\nName: peculiar\nVersion: 1.0\n"
        archive.writestr("peculiar-1.0.dist-info/METADATA", about)
        archive.writestr(
            "peculiar-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("peculiar-1.0.dist-info/RECORD", "")
    return str(path)


def test_an_environment_is_made_once_and_made_again_where_it_was_left_half_made(tmp_path: Path) -> None:
    shown: list[str] = []
    environment = Environment("peer", (wheel(tmp_path),))
    python = environment.prepare(tmp_path / "cache", shown.append)
    assert python.exists()
    assert (python.parent.parent / "lib").exists()
    environment.prepare(tmp_path / "cache", shown.append)
    assert len(shown) == 1
    (environment.folder(tmp_path / "cache") / READY).unlink()
    environment.prepare(tmp_path / "cache", shown.append)
    assert len(shown) == 2


def test_another_list_of_requirements_is_another_folder(tmp_path: Path) -> None:
    assert Environment("a", ("x==1",)).folder(tmp_path) != Environment("a", ("x==2",)).folder(tmp_path)


def test_what_pip_refuses_is_quoted(tmp_path: Path) -> None:
    environment = Environment("peer", (str(tmp_path / "missing-1.0-py3-none-any.whl"),))
    with pytest.raises(PeerUnavailableError, match=r"peer cannot be installed: .*missing-1\.0"):
        environment.prepare(tmp_path / "cache", quiet)
    assert not (environment.folder(tmp_path / "cache") / READY).exists()


def test_environments_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "siftfunnel" / "peers"


def test_all_peers_pin_what_they_install_and_run_our_onnx_runtime() -> None:
    environments = [peer.environment for peer in PEERS.values() if peer.environment is not None]
    assert len(environments) == 4
    for environment in environments:
        assert same_onnxruntime() in environment.requirements
        assert all("==" in requirement for requirement in environment.requirements)


def test_a_log_is_quoted_by_its_end() -> None:
    assert last_lines("a\nb\nc\nd\ne\nf\n") == "b / c / d / e / f"
    assert last_lines("") == "it said nothing"
