"""What a serving process sets once."""

import resource

import pytest

from siftfunnel.cloud_server.process import allow_open_files


@pytest.mark.parametrize(
    ("limits", "wanted", "room", "set_to"),
    [
        ((4096, 8192), 1000, 1000, None),
        ((1024, 8192), 1000, 1000, (1128, 8192)),
        ((1024, 1024), 4000, 896, (1024, 1024)),
        ((1024, resource.RLIM_INFINITY), 4000, 4000, (4128, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 4000, 4000, None),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[int, int],
    wanted: int,
    room: int,
    set_to: tuple[int, int] | None,
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, values: told.append(values))
    assert allow_open_files(wanted) == room
    assert told == ([] if set_to is None else [set_to])
