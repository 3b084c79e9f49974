"""What no tracked file may hold, and how large a room's file may grow."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
GENERATED = ("_pb2.py", "_pb2.pyi")
ROOMS = ("siftfunnel", "shared", "edge_client", "cloud_server", "attacker", "lab", "bench")


def tracked_files() -> list[Path]:
    """Files that git tracks or would track; an unpacked source archive has no git and is walked instead."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked_files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


# Split so that this very file does not hold what it looks for.
FORBIDDEN = {
    "a path of one developer's machine": r"(?<![\w./])/(?:wo" r"rk|ro" r"ot|fa" r"rm)/",
    "a scratch folder of one developer": r"/tmp/" r"sf\b",
    "the host of a package registry": r"py" r"pi\.org|python" r"hosted|registry\.npm" r"js|download\.pytorch",
    # PyTorch's restricted reader knows tensors and plain containers, and refuses all else
    "a load that can run code from a file": r"pick"
    r"le\.loads?\(|allow_pick"
    r"le=True|torch\.lo"
    r"ad\((?![^()]*weights_only=True\))",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert hits == []


def test_the_search_for_forbidden_text_finds_what_it_looks_for() -> None:
    samples = {
        "a path of one developer's machine": "open('/ro" + "ot/data')",
        "a scratch folder of one developer": "cd /tmp/" + "sf/runs",
        "the host of a package registry": "https://py" + "pi.org/simple",
        "a load that can run code from a file": "torch.lo" + "ad(path)",
    }
    assert {
        what: bool(re.search(FORBIDDEN[what], sample)) for what, sample in samples.items()
    } == dict.fromkeys(FORBIDDEN, True)


def test_every_file_is_short_enough_to_be_one_thing() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path, text in texts()
        if path.suffix == ".py"
        and not path.name.endswith(GENERATED)
        and (lines := text.count("\n")) > MAX_LINES
    }
    assert long == {}


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    named = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.suffix == ".py"
        and vague & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]
    assert named == []


def test_every_level_of_the_tests_is_a_package() -> None:
    folders = {
        path.parent for path in tracked_files() if path.suffix == ".py" and (ROOT / "tests") in path.parents
    }
    parents = {
        parent
        for folder in folders
        for parent in (folder, *folder.parents)
        if (ROOT / "tests") in parent.parents
    }
    missing = [str(folder.relative_to(ROOT)) for folder in parents if not (folder / "__init__.py").is_file()]
    assert missing == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_a_package_under_its_own_name(room: str) -> None:
    assert (ROOT / room / "__init__.py").is_file()


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text) > 11_000


def test_the_shipped_bundles_and_inverters_fit_their_budget() -> None:
    assets = ROOT / "siftfunnel" / "assets"
    binaries = [
        path for folder in ("bundles", "inverters") for path in (assets / folder).rglob("*") if path.is_file()
    ]
    assert sum(path.stat().st_size for path in binaries) <= 24_000_000


def product_calls(of: str) -> list[tuple[Path, ast.Call]]:
    """Every call in the files of the product that name a function."""
    found = []
    for path, text in texts():
        if path.suffix == ".py" and of in text and path.relative_to(ROOT).parts[0] in (*ROOMS, "docs"):
            found += [(path, node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return found


def test_every_module_that_is_started_is_started_by_one_function() -> None:
    """`-m` alone would run what lies in the working folder in place of what is installed."""
    hits = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if path.suffix == ".py"
        and path.relative_to(ROOT).parts[0] in (*ROOMS, "docs")
        and re.search(r'sys\.executable,\s*"-m",\s*"(?!venv|pip)', text)
    ]
    assert hits == []


def test_every_grpc_channel_goes_straight_to_the_address_that_was_named() -> None:
    channels = [
        (path, call)
        for path, call in product_calls(of="secure_channel")
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("insecure_channel", "secure_channel")
    ]
    assert len(channels) > 5
    for path, call in channels:
        assert any(keyword.arg == "options" for keyword in call.keywords), f"{path}:{call.lineno}"
        assert "STRAIGHT" in path.read_text(encoding="utf-8"), path
