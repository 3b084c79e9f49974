"""The compose file, brought up for real: images, privileges, frames, the sidecar, and nothing left behind."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from siftfunnel.shared.ports import free_ports
from tests.integration.compose import Stack, answered_frames, fetch, fetch_json
from tests.readme.blocks import story

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500)]

SERVICES = ("cloud", "edge", "attacker")
SERVICE_ALONE = ("cloud", "edge")
FRAMES = 12
PLAYED = {"drawnfaces-unprotected", "drawnfaces-siftfunnel"}  # by default
NET_RAW = 1 << 13  # CAP_NET_RAW of linux/capability.h
CLOUD_PACKAGES = ("uvicorn", "starlette", "prometheus_client", "grpc_health", "grpc_reflection")
ATTACKER_PACKAGES = ("skimage", "scipy", "dpkt", "hpack", "hyperframe", "httpx")


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """`up cloud edge`: the service without the eavesdropper."""
    page, grpc, admin = map(str, free_ports(3))
    stack = Stack(
        {
            "SIFTFUNNEL_PAGE_PORT": page,
            "SIFTFUNNEL_GRPC_PORT": grpc,
            "SIFTFUNNEL_ADMIN_PORT": admin,
            "SIFTFUNNEL_RATE": "10",
        }
    )
    try:
        stack.timed("built, cloud and edge healthy", lambda: bring_up(stack, *SERVICE_ALONE))
        yield stack
    finally:
        stack.timed("down", stack.down)
        report(request, stack)


@pytest.fixture(scope="module")
def everything(service: Stack) -> Stack:
    """`up`: the attacker besides."""
    service.timed("attacker built and healthy", lambda: bring_up(service, *SERVICES))
    return service


def bring_up(stack: Stack, *services: str) -> None:
    """Execute the README's command that starts these services, in the background, and wait for health."""
    flags, named = README_COMMANDS[frozenset(services)]
    stack.compose("up", "--detach", *flags, *named)
    stack.wait_healthy(*services)


def readme_commands() -> dict[frozenset[str], tuple[list[str], list[str]]]:
    """Flags and named services of every `docker compose up` in the README, by the services it starts."""
    found = {}
    for block in story("docker"):
        for command in block.commands:
            words = command.removeprefix("docker compose up").split()
            flags = [word for word in words if word.startswith("-")]
            named = [word for word in words if not word.startswith("-")]
            found[frozenset(named or SERVICES)] = (flags, named)
    return found


README_COMMANDS = readme_commands()


def report(request: pytest.FixtureRequest, stack: Stack) -> None:
    """Say how long things took and how large the images are, also where the tests passed."""
    sizes = {
        name: int(stack.run("docker", "image", "inspect", "-f", "{{.Size}}", f"siftfunnel-{name}"))
        for name in SERVICES
    }
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        terminal = plugins.get_plugin("terminalreporter")
        terminal.write_line(f"\n{' '.join(stack.command)}: {in_words(stack.timings_s, 's', 1)}")
        megabytes = {name: size / 1e6 for name, size in sizes.items()}
        terminal.write_line(f"images: {in_words(megabytes, 'MB', 0)}")


def in_words(figures: Mapping[str, float], unit: str, digits: int) -> str:
    return ", ".join(f"{name} {value:.{digits}f} {unit}" for name, value in figures.items())


def admin_url(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.settings['SIFTFUNNEL_ADMIN_PORT']}{path}"


def page_url(stack: Stack, path: str) -> str:
    return f"http://127.0.0.1:{stack.settings['SIFTFUNNEL_PAGE_PORT']}{path}"


def answered(stack: Stack) -> float:
    return answered_frames(fetch(admin_url(stack, "/metrics")) or "")


def test_every_docker_command_of_the_readme_is_executed_here() -> None:
    assert set(README_COMMANDS) == {frozenset(SERVICES), frozenset(SERVICE_ALONE)}


def test_cloud_and_edge_answer_frames_without_the_attacker(service: Stack) -> None:
    enough = 2 * FRAMES
    service.wait_until(f"{enough} frames answered", lambda: answered(service) >= enough or None)
    assert service.container("attacker") == ""
    assert fetch(page_url(service, "/")) is None
    assert json.loads(fetch(admin_url(service, "/bundles")) or "{}")


def test_frames_of_every_bundle_are_overheard_rebuilt_and_scored(everything: Stack) -> None:
    def all_scored() -> dict[str, Any] | None:
        summary: Any = fetch_json(page_url(everything, "/summary")) or {"bundles": {}}
        books = summary["bundles"]
        done = all(books.get(name, {}).get("frames_scored", 0) >= FRAMES for name in PLAYED)
        return summary if done else None

    summary = everything.timed(
        "frames of every bundle scored",
        lambda: everything.wait_until(f"frames of {', '.join(sorted(PLAYED))} scored", all_scored),
    )
    assert set(summary["bundles"]) == PLAYED
    assert [(tap["kind"], tap["phase"]) for tap in summary["taps"]] == [("sniff", "running")]
    for books in summary["bundles"].values():
        assert books["answers_overheard"] > 0
        assert books["frames_undecodable"] == books["frames_failed"] == books["frames_resent"] == 0
        assert 0 <= books["ssim_mean"] <= 1
        assert 0 < books["psnr_mean"] <= 100
        assert books["wire_bytes_mean"] > books["payload_bytes_mean"] > 0


def test_the_page_is_served_to_the_host(everything: Stack) -> None:
    page = fetch(page_url(everything, "/"))
    assert page is not None
    assert "<!doctype html>" in page.lower()


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_gains_privileges(everything: Stack, name: str) -> None:
    status = everything.status(name)
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1000"] * 4
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize(("name", "capabilities"), [("cloud", 0), ("edge", 0), ("attacker", NET_RAW)])
def test_the_attacker_alone_has_a_capability_and_only_the_one_to_sniff(
    everything: Stack, name: str, capabilities: int
) -> None:
    status = everything.status(name)
    sets = {kind: int(status[kind], 16) for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")}
    assert sets == dict.fromkeys(sets, capabilities)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_write_to_its_image(everything: Stack, name: str) -> None:
    assert everything.inspect(name, "{{.HostConfig.ReadonlyRootfs}}") == "true"


def test_the_attacker_shares_the_network_of_the_cloud(everything: Stack) -> None:
    assert (
        everything.inspect("attacker", "{{.HostConfig.NetworkMode}}")
        == f"container:{everything.container('cloud')}"
    )


def missing_packages(stack: Stack, name: str, packages: tuple[str, ...]) -> set[str]:
    program = (
        "import importlib.util, json; "
        f"print(json.dumps([name for name in {packages!r} if importlib.util.find_spec(name) is None]))"
    )
    return set(json.loads(stack.python(f"siftfunnel-{name}", program)))


def rooms(*names: str) -> tuple[str, ...]:
    """Rooms as they are imported, and what no image carries."""
    return ("torch", "cv2", *(f"siftfunnel.{name}" for name in names))


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("cloud", (*rooms("attacker", "edge_client", "lab"), *ATTACKER_PACKAGES)),
        ("edge", (*rooms("attacker", "cloud_server", "lab"), *CLOUD_PACKAGES, *ATTACKER_PACKAGES)),
        ("attacker", (*rooms("edge_client", "cloud_server", "lab"), "grpc_reflection")),
    ],
)
def test_an_image_leaves_out_what_its_party_does_not_need(
    service: Stack, name: str, left_out: tuple[str, ...]
) -> None:
    assert missing_packages(service, name, left_out) == set(left_out)
    # the question itself is right: what an image carries is found by such a name
    assert missing_packages(service, name, ("siftfunnel.shared",)) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_carries_the_compiled_codecs(everything: Stack, name: str) -> None:
    program = "from siftfunnel.shared.wire.compiled import native; print(native is not None)"
    assert everything.python(f"siftfunnel-{name}", program).strip() == "True"


def test_the_edge_image_carries_edge_halves_and_nothing_of_the_others(service: Stack) -> None:
    program = (
        "import json, pathlib, siftfunnel; "
        "assets = pathlib.Path(siftfunnel.__file__).parent / 'assets'; "
        "print(json.dumps(sorted({path.name for path in assets.rglob('*.onnx')})))"
    )
    assert json.loads(service.python("siftfunnel-edge", program)) == ["edge.onnx"]


def intercepted(stack: Stack) -> int:
    summary: Any = fetch_json(page_url(stack, "/summary")) or {"bundles": {}}
    return sum(books["frames_intercepted"] for books in summary["bundles"].values())


def test_a_cloud_that_starts_again_is_served_to_and_overheard_as_before(everything: Stack) -> None:
    """Its network namespace is a new one; the sidecar must not stay in the old one, all healthy."""
    everything.run("docker", "restart", everything.container("cloud"))
    everything.timed(
        "after a restart of the cloud, overheard again",
        lambda: everything.wait_until(
            f"{FRAMES} frames overheard again", lambda: 0 < intercepted(everything) >= FRAMES or None
        ),
    )
    everything.wait_healthy(*SERVICES)
    program = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert "eth0" in everything.execute("attacker", "python", "-c", program)


def test_a_device_that_dies_starts_again_and_uses_no_number_twice(everything: Stack) -> None:
    before = everything.inspect("edge", "{{.State.StartedAt}}")
    everything.execute("edge", "python", "-c", "import os; os.kill(1, 15)")
    everything.wait_until(
        "the edge started again",
        lambda: everything.inspect("edge", "{{.State.StartedAt}}") != before or None,
    )
    heard = intercepted(everything)
    everything.wait_until("frames heard", lambda: intercepted(everything) > heard + FRAMES or None)
    summary: Any = fetch_json(page_url(everything, "/summary"))
    assert all(books["frames_resent"] == 0 for books in summary["bundles"].values())
