"""What the package offers, listed once."""

import subprocess
import sys
from pathlib import Path

import pytest

import edge_client

ROOT = Path(__file__).resolve().parents[2]


def test_the_public_names_are_these_five() -> None:
    assert edge_client.__all__ == ["Answer", "EdgeError", "EdgeModel", "FrameFailure", "SplitClient"]


@pytest.mark.parametrize("name", edge_client.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert (getattr(edge_client, name).__doc__ or "").strip()
    assert name in dir(edge_client)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="SplitClient"):
        _ = edge_client.Client  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys, edge_client\n"
        "print([name for name in ('numpy', 'PIL', 'grpc', 'google.protobuf', 'onnxruntime', 'asyncio') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_client_loads_only_what_a_device_carries() -> None:
    code = (
        "import sys, edge_client; edge_client.SplitClient\n"
        "print([name for name in ('torch', 'fastapi', 'onnx', 'cv2', 'scipy', 'httpx', 'http.server') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
