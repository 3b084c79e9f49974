"""The grid against a server of ours, what is committed of it, and clients that need another environment."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from conformance.__main__ import HERE, PASS, held, page
from conformance.grid import CHECKS
from conformance.target import Target
from siftfunnel.cloud_server.config import CloudConfig
from siftfunnel.cloud_server.server import CloudServer
from siftfunnel.shared.ports import Endpoint
from tests.readme.blocks import ROOT, blocks
from tests.readme.scratch import Scratch
from tests.tinybundle import make_tiny_bundle

LOOPBACK = Endpoint("127.0.0.1", 0)
KSERVE = "KSERVE_PYTHON"
"""Names an interpreter that has `kserve`."""


def serving(folder: Path) -> CloudServer:
    bundle = make_tiny_bundle(folder / "tiny").directory
    return CloudServer(CloudConfig((bundle,), listen=LOOPBACK, oip_http=LOOPBACK, simple=True))


async def test_ours_passes_every_check(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        target = Target(str(server.addresses.grpc), str(server.addresses.oip_http))
        found = await asyncio.to_thread(lambda: {check.name: held(check, target) for check in CHECKS})
    assert found == {check.name: {"outcome": PASS} for check in CHECKS}


def test_a_server_that_is_not_there_passes_none() -> None:
    results = [held(check, Target("127.0.0.1:1", "127.0.0.1:1")) for check in CHECKS[:3] + CHECKS[-3:]]
    assert PASS not in [result["outcome"] for result in results]


def test_what_is_committed_has_every_check_and_what_differs_is_explained() -> None:
    explained = json.loads((HERE / "explained.json").read_text())
    results = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))]
    assert {each["server"] for each in results} == {"siftfunnel", *explained}
    for each in results:
        assert list(each["results"]) == [check.name for check in CHECKS]
        differing = [name for name, result in each["results"].items() if result["outcome"] != PASS]
        assert sorted(explained.get(each["server"], {})) == sorted(differing)
    results.sort(key=lambda each: each["server"] != "siftfunnel")
    assert (ROOT / "docs/conformance.md").read_text() == "\n".join(page(results, explained)) + "\n"


@pytest.mark.skipif(KSERVE not in os.environ, reason=f"{KSERVE} names no interpreter with kserve")
async def test_kserves_clients_work_unmodified(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        where = (str(server.addresses.grpc), str(server.addresses.oip_http))
        command = [os.environ[KSERVE], str(HERE / "clients/kserve_client.py"), *where]
        ended = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
        )
    assert (ended.returncode, ended.stdout.strip()) == (0, "ok"), ended.stderr


def test_the_guides_commands_do_what_it_says(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    try:
        serve, client = blocks((ROOT / "docs/open-inference.md").read_text())
        assert '"platform"' in scratch.run(serve)
        assert scratch.run(client).startswith("[[")
    finally:
        scratch.close()
