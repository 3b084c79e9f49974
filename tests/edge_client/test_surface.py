"""What the package offers, listed once."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from siftfunnel import edge_client
from siftfunnel.edge_client import errors

ROOT = Path(__file__).resolve().parents[2]


PUBLIC = """
    SplitClient ClientSettings WindowPolicy ReconnectPolicy TlsFiles EdgeModel Picture OutcomeStream
    Outcome Answer FrameFailure Superseded ClassScore ServerTimings Outputs Transform
    EdgeError BundleError ModelError SourceError SourceLost ImageError CodecError DeviceExhausted
    ServerUnreachable TlsFailure ServerRefused BundleMismatch FrameFailed OutputError TlsError
    __version__
"""


def test_the_public_names_are_these() -> None:
    assert sorted(edge_client.__all__) == sorted(PUBLIC.split())


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(edge_client.__file__).read_text())
    (block,) = (
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {**seen, "__version__": "siftfunnel"} == edge_client._HOMES


def test_every_exception_is_exported() -> None:
    found = {name for name, value in vars(errors).items() if _is_error(value)}
    assert found <= set(edge_client.__all__)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, edge_client.EdgeError)


def test_every_package_is_marked_as_typed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-data"]["*"] == ["py.typed"]
    packages = {Path(name).name for name in project["tool"]["mypy"]["packages"]} - {"tests"}
    assert [name for name in sorted(packages) if not (ROOT / name / "py.typed").is_file()] == []


def test_the_version_is_the_distributions() -> None:
    assert edge_client.__version__ == version("siftfunnel")


@pytest.mark.parametrize("name", edge_client.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert (getattr(edge_client, name).__doc__ or "").strip()
    assert name in dir(edge_client)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="SplitClient"):
        _ = edge_client.Client


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
