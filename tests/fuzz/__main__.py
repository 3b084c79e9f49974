"""Run one target for a while, guided by coverage; findings end it with the input that made them.

python -m tests.fuzz tap --runs 1000000 --out build/fuzz
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OUT = Path("build/fuzz")
_STAT = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="one of those that are listed without it")
    parser.add_argument("--runs", type=int, default=-1, metavar="N", help="executions (any number)")
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="at most so long (60)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of what is tried (another one each time)"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"corpora and findings ({OUT})")
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON that adds up runs of all targets")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    own, _ = _split(sys.argv[1:])
    args = parser.parse_args(own)
    if args.target is None:
        from tests.fuzz.targets import TARGETS

        print("\n".join(TARGETS))
        return 0
    return _fuzz(args.target, args.out) if args.inside else _run(args)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and behind -- what is libFuzzer's."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _run(args: argparse.Namespace) -> int:
    """The fuzzer in a process of its own, and a line of what it did."""
    folder = args.out / args.target
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "tests.fuzz", args.target, "--inside", "--out", str(args.out),
        "--", f"-runs={args.runs}", f"-max_total_time={args.seconds}", f"-seed={args.seed}",
        "-print_final_stats=1", f"-artifact_prefix={folder}/", "-timeout=10", "-rss_limit_mb=2048",
        "-max_len=16384",
        str(folder / "corpus"),
    ]  # fmt: skip
    begun_s = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    executed, covered = _STAT.search(done.stderr), _COVERED.findall(done.stderr)
    told = {
        "target": args.target,
        "executions": int(executed[1]) if executed else 0,
        "seconds": round(time.monotonic() - begun_s, 1),
        "edges": int(covered[-1][0]) if covered else 0,
        "corpus": int(covered[-1][2]) if covered else 0,
        "findings": sorted(path.name for path in folder.iterdir() if path.is_file()),
        "rc": done.returncode,
    }
    print(json.dumps(told), flush=True)
    if args.results is not None:
        _add_up(args.results, told)
    if done.returncode:
        print(done.stderr[-6000:], file=sys.stderr)
    return 1 if done.returncode or told["findings"] else 0


def _add_up(path: Path, told: dict[str, Any]) -> None:
    from siftfunnel.lab.provenance import provenance

    known = json.loads(path.read_text()) if path.exists() else {"targets": {}}
    before = known["targets"].get(told["target"], {"executions": 0, "seconds": 0.0, "edges": 0})
    known["targets"][told["target"]] = {
        "executions": before["executions"] + told["executions"],
        "seconds": round(before["seconds"] + told["seconds"]),
        "edges": max(before["edges"], told["edges"]),
        "findings": len(told["findings"]),
    }
    path.write_text(json.dumps({**known, "provenance": provenance()}, indent=1) + "\n")


def _fuzz(name: str, out: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=["siftfunnel", "hyperframe", "hpack", "dpkt"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (out / name / "corpus" / f"seed-{number}").write_bytes(seed)
    _, rest = _split(sys.argv[1:])
    atheris.Setup([sys.argv[0], *rest], target.feed)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
