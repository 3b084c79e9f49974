"""What may be wrong on this machine before anything is run: each check says what it found and what to do."""

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

State = Literal["ok", "advice", "wrong", "absent"]

FEW_FILES = 1024
LITTLE_SPACE_BYTES = 1 << 30
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what.
        state: "ok"; "advice", works, could be better; "wrong", something will fail; "absent", not installed.
        told: what was found.
        remedy: what to do; empty where nothing need be done.
    """

    about: str
    state: State
    told: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)

    def as_text(self) -> str:
        """For people."""
        remedy = f"\n{'':21}-> {self.remedy}" if self.remedy else ""
        return f"{self.state:7} {self.about:12} {self.told}{remedy}"


Check = Callable[[Mapping[str, str]], Iterator[Finding]]


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Run every check, each as far as what it needs is installed; one that breaks is a finding, too."""
    for check in CHECKS:
        try:
            yield from check(environment)
        except ModuleNotFoundError as error:
            yield Finding(check.__name__.strip("_"), "absent", f"{error.name} is not installed here")
        except Exception as error:
            yield Finding(check.__name__.strip("_"), "wrong", str(error).strip() or type(error).__name__)


def _machine(environment: Mapping[str, str]) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding(
        "machine", "ok", f"Python {platform.python_version()}, {platform.platform()}, {cores} cores"
    )
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    told = f"{free / 1e9:.1f} GB free in {place}"
    if free < LITTLE_SPACE_BYTES:
        yield Finding(
            "disk", "advice", told, "recordings and training need more: set TMPDIR to a larger disk"
        )
    else:
        yield Finding("disk", "ok", told)


def _files(environment: Mapping[str, str]) -> Iterator[Finding]:
    if sys.platform == "win32":
        return
    import resource

    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{limit} files may be open at once"
    if 0 <= limit <= FEW_FILES and (most < 0 or most > limit):
        advice = (
            f"a server with many devices needs more: `ulimit -n {65536 if most < 0 else min(most, 65536)}`"
        )
        yield Finding("files", "advice", told, advice)
    else:
        yield Finding("files", "ok", told)


def _commands(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.commands import COMMANDS
    from siftfunnel.shared.extras import how_to_install

    there = [row.name for row in COMMANDS if not row.missing()]
    yield Finding("commands", "ok", ", ".join(there))
    for row in COMMANDS:
        if missing := row.missing():
            yield Finding(row.name, "absent", f"needs {', '.join(missing)}", how_to_install(row.extra))


def _packages(environment: Mapping[str, str]) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    required = [Requirement(text) for text in metadata.requires("siftfunnel") or ()]
    found = fitting = 0
    for need in required:
        if need.marker is not None and not any(need.marker.evaluate({"extra": extra}) for extra in _extras()):
            continue
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            continue
        found += 1
        fitting += (fits := need.specifier.contains(version, prereleases=True))
        if not fits:
            told = f"{need.name} {version} does not fit {need.specifier}"
            yield Finding("packages", "wrong", told, f"pip install '{need.name}{need.specifier}'")
    if fitting == found:
        yield Finding("packages", "ok", f"the {found} that are installed are of versions that fit")


def _extras() -> list[str]:
    return ["", *(metadata.metadata("siftfunnel").get_all("Provides-Extra") or ())]


def _codecs(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.shared.wire.compiled import native

    if native is None:
        remedy = "install a C compiler (gcc), then `pip install -e .` again: encoding is a few times faster"
        yield Finding(
            "codecs", "advice", "the compiled part is not there; NumPy makes the same bytes", remedy
        )
    else:
        yield Finding("codecs", "ok", "compiled")


def _bundles(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.bundle_verify import verify
    from siftfunnel.shared.bundle import Bundle
    from siftfunnel.shipped import MODELS_VARIABLE, Library

    library, usable = Library.from_environment(environment), []
    for each in library.bundles():
        verdict = verify(each.directory) if isinstance(each, Bundle) else None
        if verdict is not None and verdict.trouble is None:
            usable.append(verdict.name)
        else:
            problem = verdict.problem if verdict is not None else getattr(each, "reason", "")
            yield Finding("bundles", "wrong", problem, "fetch it again, or take it away")
    if usable:
        yield Finding("bundles", "ok", f"whole, and what is there of them runs: {', '.join(usable)}")
    else:
        where = ", ".join(map(str, library.models))
        yield Finding("bundles", "wrong", f"none in {where}", f"set {MODELS_VARIABLE} to a folder of bundles")


def _configuration(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.cli import usable_commands
    from siftfunnel.commands import COMMANDS
    from siftfunnel.configuration import Configuration, ConfigurationError, flags_of, leaves

    configuration, count = Configuration.found(environment), 0
    problems = [
        f"{configuration.file}: there is no command {name}"
        for name in set(configuration.tables) - {row.name for row in COMMANDS}
    ]
    for console in usable_commands().values():
        for command, parser in leaves(console):
            try:
                count += len(configuration.said(flags_of(command, parser)))
            except ConfigurationError as error:
                problems.append(str(error))
    for problem in problems:
        yield Finding("settings", "wrong", problem, "`siftfunnel config show COMMAND` lists a command's keys")
    if not problems:
        told = f"{count} in {configuration.file or 'the environment'}" if count else "all have their defaults"
        yield Finding("settings", "ok", told)


def _proxy(environment: Mapping[str, str]) -> Iterator[Finding]:
    lowered = {name.lower(): value for name, value in environment.items() if value}
    if proxy := next((name for name in _PROXIES if name in lowered), None):
        remedy = "gRPC goes through it; name your server in no_proxy if it shall not"
        yield Finding("proxy", "advice", f"{proxy} is set", remedy)
    else:
        yield Finding("proxy", "ok", "none is set")


def _sniffing(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.shared.ports import LOOPBACK

    if not hasattr(socket, "AF_PACKET"):
        yield Finding(
            "sniffing", "absent", "only Linux has packet sockets", "tap with relay: or a capture file"
        )
        return
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
        yield Finding("sniffing", "ok", f"`--tap sniff:lo:PORT` can hear {LOOPBACK}")
    except PermissionError:
        remedy = "run the attacker as root or with CAP_NET_RAW, or tap with relay:"
        yield Finding("sniffing", "advice", "packets may not be captured", remedy)


def _addresses(environment: Mapping[str, str]) -> Iterator[Finding]:
    from siftfunnel.cloud_server.config import DEFAULT_LISTEN
    from siftfunnel.shared.ports import Endpoint

    where = Endpoint.parse(DEFAULT_LISTEN)
    with socket.socket() as probe:
        taken = probe.connect_ex((where.host, where.port)) == 0
    if taken:
        yield Finding(
            "port", "advice", f"something answers on {where}", "a server of yours, or --listen HOST:0"
        )
    else:
        yield Finding("port", "ok", f"{where} is free")


CHECKS: tuple[Check, ...] = (
    _machine,
    _files,
    _commands,
    _packages,
    _codecs,
    _bundles,
    _configuration,
    _proxy,
    _sniffing,
    _addresses,
)
"""All of them, in the order in which they are shown."""
