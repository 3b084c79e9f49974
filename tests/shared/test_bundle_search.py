"""A bundle is found by its folder or its name, whatever lies beside it."""

import os
from pathlib import Path
from typing import Any

import pytest

from siftfunnel.shared.bundle import BundleError
from siftfunnel.shared.bundle_search import find_bundle
from tests.tinybundle import make_tiny_bundle


def test_neighbours_that_are_bad_or_may_not_be_looked_into_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_bytes(b"[" * 100_000)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost+found").mkdir()
    stat = os.stat

    def refuse(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        if "lost+found/" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", refuse)
    assert find_bundle("tiny", [tmp_path]) == bundle
    assert find_bundle(tmp_path / "tiny") == bundle
    with pytest.raises(BundleError, match=r"no bundle 'nothing': .*\(bad, .*tiny\)"):
        find_bundle("nothing", [tmp_path])
    with pytest.raises(BundleError, match=r"no bundle 'lost\+found'"):
        find_bundle("lost+found", [tmp_path])


def test_a_folder_of_bundles_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere: no such folder of bundles"):
        find_bundle("tiny", [tmp_path / "nowhere"])
