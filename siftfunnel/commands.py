"""The console's commands, as one visible table.

Nothing here imports a party: a row says where a command's parser lives, which modules it cannot do without
and which extra brings them. That is enough for ``siftfunnel --help`` to be instant, and honest on a device
that carries the edge alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast


@dataclass(frozen=True)
class Command:
    """One row of the console.

    Attributes:
        name: what the user types after ``siftfunnel``.
        summary: one line for ``--help``.
        module: owns the parser: its function ``add_NAME_parser(subparsers) -> None`` adds one that sets
            ``run=callable(args) -> int``.
        extra: the extra of this distribution that brings what the command needs.
        needs: modules that must be importable before the command can run.
        looks_up_models: whether the adder takes ``bundles_default``, folders in which bundles have names.
    """

    name: str
    summary: str
    module: str
    extra: str
    needs: tuple[str, ...]
    looks_up_models: bool = False

    def missing(self) -> tuple[str, ...]:
        """The modules this command needs and this installation lacks; imports none of them."""
        return tuple(name for name in self.needs if not _is_installed(name))

    def add_parser(self, subparsers: Any) -> None:
        """Import the owner and let it add its parser to the console's ``subparsers``."""
        adder = cast(Callable[..., None], getattr(import_module(self.module), f"add_{self.name}_parser"))
        if self.looks_up_models:
            from siftfunnel.shared.bundle_search import named_folders

            adder(subparsers, bundles_default=named_folders("SIFTFUNNEL_MODELS"))
        else:
            adder(subparsers)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # find_spec imports the parent of a dotted name, and raises where there is none.
        return False


_EDGE = (
    "siftfunnel.edge_client",
    "siftfunnel.shared",
    "numpy",
    "PIL",
    "onnxruntime",
    "grpc",
    "google.protobuf",
    "google_crc32c",
)
_CLOUD = (
    "siftfunnel.cloud_server",
    "siftfunnel.shared",
    "numpy",
    "onnxruntime",
    "grpc",
    "grpc_health",
    "starlette",
    "prometheus_client",
)
_ATTACKER = (
    "siftfunnel.attacker",
    "siftfunnel.shared",
    "numpy",
    "onnxruntime",
    "hyperframe",
    "hpack",
    "dpkt",
    "fastapi",
    "httpx",
    "skimage",
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "demo",
        "cloud, edge and attacker on this machine, with a page that shows what an eavesdropper gets",
        "siftfunnel.demo.cli",
        "demo",
        (*_EDGE, *_CLOUD, *_ATTACKER, "cryptography"),
    ),
    Command(
        "edge",
        "run the device: images in, compressed features out, answers back",
        "siftfunnel.edge_client.cli",
        "edge",
        _EDGE,
        looks_up_models=True,
    ),
    Command(
        "classify",
        "send one or more images once and print the answers",
        "siftfunnel.edge_client.cli",
        "edge",
        _EDGE,
        looks_up_models=True,
    ),
    Command(
        "cloud",
        "run the service that finishes the inference",
        "siftfunnel.cloud_server.cli",
        "cloud",
        _CLOUD,
    ),
    Command(
        "attacker",
        "tap the channel and show what can be reconstructed",
        "siftfunnel.attacker.cli",
        "attacker",
        _ATTACKER,
    ),
    Command(
        "bundle",
        "list, show and verify bundles",
        "siftfunnel.bundle_cli",
        "edge",
        ("siftfunnel.shared", "numpy", "PIL"),
    ),
    Command(
        "config",
        "show what siftfunnel.toml and the environment set, and all that they could",
        "siftfunnel.config_cli",
        "edge",
        ("siftfunnel.shared",),
    ),
    Command(
        "doctor",
        "look at this machine, its packages, bundles and settings, and say what to mend",
        "siftfunnel.doctor_cli",
        "edge",
        ("siftfunnel.shared",),
    ),
    Command(
        "completion",
        "print a script with which a shell completes commands, flags and files",
        "siftfunnel.completion_cli",
        "completion",
        ("shtab",),
    ),
    Command(
        "token",
        "make a token for a client of the server",
        "siftfunnel.token_cli",
        "edge",
        ("siftfunnel.shared",),
    ),
    Command(
        "certs",
        "make local certificates for TLS and mutual TLS",
        "siftfunnel.certs_cli",
        "demo",
        ("cryptography",),
    ),
    Command(
        "lab",
        "train, export, attack and audit models; the paper's study",
        "siftfunnel.lab.cli",
        "lab",
        ("siftfunnel.lab", "siftfunnel.shared"),
    ),
    Command(
        "split",
        "cut a network of your own and put a funnel at the cut",
        "siftfunnel.lab.split.cli",
        "lab",
        ("siftfunnel.lab", "siftfunnel.shared", "onnx", "torch", "safetensors"),
    ),
    Command(
        "data",
        "unpack the data sets that training and the demo can use",
        "siftfunnel.lab.cli",
        "edge",
        ("siftfunnel.lab", "siftfunnel.shared", "numpy", "PIL"),
    ),
    Command(
        "faces",
        "draw the labelled faces that the package carries",
        "siftfunnel.lab.faces.cli",
        "edge",
        ("siftfunnel.lab", "numpy", "PIL"),
    ),
    Command(
        "bench",
        "measure the edge and the service on this machine",
        "siftfunnel.bench.cli",
        "bench",
        ("siftfunnel.bench", "siftfunnel.lab", *_EDGE, *_CLOUD),
        looks_up_models=True,
    ),
)
