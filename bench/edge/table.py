"""The edge's figures as a page of Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

VARIANTS = {
    "plain": "as `torch.onnx.export` writes it",
    "ours": "as `siftfunnel lab export` writes it",
    "int8": "that, static 8 bits",
}
OPERATORS_SHOWN = 12


def render_edge(result: Mapping[str, Any]) -> str:
    """Markdown of what `siftfunnel bench edge` has measured.

    Args:
        result: its JSON object.
    """
    parts = [
        "# The edge half\n",
        _provenance(result),
        *_times(result["networks"]),
        *_operators(result["networks"][0]),
        *_bundles(result["bundles"]),
        *_install(result.get("install")),
    ]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(head)
    rule = ["---", *["---:"] * (len(names) - 1)]
    lines = [names, rule, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def _provenance(result: Mapping[str, Any]) -> str:
    origin = result["provenance"]
    versions, machine = origin["versions"], origin["machine"]
    flags = ", ".join(result["vector_flags"]) or "no vector instructions known"
    return (
        f"Measured by `siftfunnel bench edge` on {machine['processor']} ({machine['cores']} cores; {flags}) "
        f"with ONNX Runtime {versions['onnxruntime']}, one thread, one picture, networks taking turns.\n"
    )


def _quartiles(times: Mapping[str, float]) -> str:
    return f"{times['p50']:.3f} [{times['p25']:.3f}, {times['p75']:.3f}]"


def _times(networks: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            f"n = {network['width']}, {network['input_size']}x{network['input_size']}: {words}",
            _quartiles(network["edge_ms"][f"cnn-unprotected/{variant}"]),
            _quartiles(network["edge_ms"][f"cnn-siftfunnel/{variant}"]),
            f"{network['siftfunnel_to_unprotected'][variant]:.2f}",
        )
        for network in networks
        for variant, words in VARIANTS.items()
    ]
    head = ("Edge half, ms: median [quartiles]", "Unprotected", "SiftFunnel", "ratio")
    return ["## Time\n", _table(head, rows)]


def _operators(network: Mapping[str, Any]) -> list[str]:
    shown = ("cnn-unprotected/ours", "cnn-siftfunnel/plain", "cnn-siftfunnel/ours")
    columns = [{row["operator"]: row for row in network["operators"][name]} for name in shown]
    longest: dict[str, float] = {}
    for column in columns:
        for operator, row in column.items():
            longest[operator] = max(longest.get(operator, 0.0), row["us"])
    kept = sorted(longest, key=lambda operator: -longest[operator])[:OPERATORS_SHOWN]
    rows: list[list[str]] = [
        [operator, *(_cell(column.get(operator)) for column in columns)] for operator in kept
    ]
    rest = [[row for operator, row in column.items() if operator not in kept] for column in columns]
    for name, parts in (
        ("others", rest),
        ("**all**", [list(column.values()) for column in columns]),
    ):
        rows.append([name, *(_cell(_total(part)) for part in parts)])
    side = network["input_size"]
    head = ("Operator, us (nodes)", "Unprotected, ours", "SiftFunnel, plain", "SiftFunnel, ours")
    return [
        f"## Where it goes (n = {network['width']}, {side}x{side})\n",
        "ONNX Runtime's profile, after its own fusions; profiling adds some microseconds to every node.\n",
        _table(head, rows),
    ]


def _total(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    listed = list(rows)
    return {"us": sum(row["us"] for row in listed), "nodes": sum(row["nodes"] for row in listed)}


def _cell(row: Mapping[str, Any] | None) -> str:
    return f"{row['us']:.0f} ({row['nodes']})" if row and row["nodes"] else "-"


def _bundles(bundles: Iterable[Mapping[str, Any]]) -> list[str]:
    listed = list(bundles)
    if not listed:
        return []
    stages = [
        (
            f"{bundle['name']} ({bundle['frame']['codec']})",
            *(
                _quartiles(bundle["frame"]["stages_ms"][stage])
                for stage in ("prepare", "model", "encode", "whole")
            ),
            bundle["frame"]["payload_bytes_mean"],
        )
        for bundle in listed
    ]
    started = [
        (
            bundle["name"],
            bundle["first_answer"]["start_to_first_answer_s_p50"],
            bundle["first_answer"]["resident_megabytes_max"],
        )
        for bundle in listed
    ]
    head = ("Bundle (codec), ms", "fit and normalise 640x480", "edge half", "encode", "whole frame", "bytes")
    return [
        "## One frame on the device, with the bundle's own edge half\n",
        _table(head, stages),
        "## From the start of the process\n",
        _table(("Bundle", "first answer, s", "resident memory, MB"), started),
        *_codecs(bundle for bundle in listed if "codecs" in bundle),
        *_int8(bundle for bundle in listed if "int8" in bundle),
    ]


def _codecs(bundles: Iterable[Mapping[str, Any]]) -> list[str]:
    parts = []
    for bundle in bundles:
        measured = bundle["codecs"]
        rows = [
            (
                codec["name"],
                f"{codec['payload_bytes_mean']:,}",
                *(
                    cell
                    for which in ("first", "again")
                    for cell in (
                        _quartiles(codec[which]["encode_ms"]),
                        _quartiles(codec[which]["decode_ms"]),
                        f"{100 * codec[which]['to_edge']:.1f} %",
                    )
                ),
            )
            for codec in measured["codecs"]
        ]
        head = ("Codec, ms", "bytes", "encode", "decode", "both", "encode again", "decode again", "both")
        parts += [
            f"## Codecs of {bundle['name']}\n",
            f"{measured['pictures']} test pictures, each step right after SiftFunnel's edge half at n = "
            f"{measured['edge_width']} has had the processor's caches for itself, and once more for the next "
            f"picture. That edge half took {_quartiles(measured['edge_ms'])} ms; shares are of its median. "
            f"{'With' if measured['compiled'] else 'Without'} the compiled part of the codecs.\n",
            _table(head, rows),
        ]
    return parts


def _int8(bundles: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [
        (
            bundle["name"],
            f"{100 * bundle['int8']['accuracy_float32']:.1f} %",
            f"{100 * bundle['int8']['accuracy_int8']:.1f} %",
            f"{100 * bundle['int8']['feature_error']:.1f} %",
            f"{bundle['int8']['pictures']:,}",
        )
        for bundle in bundles
    ]
    head = ("Bundle", "accuracy, float32", "accuracy, 8 bits", "feature error (of its RMS)", "pictures")
    return ["## Eight bits\n", _table(head, rows)] if rows else []


def _install(install: Mapping[str, Any] | None) -> list[str]:
    if install is None:
        return []
    names = ", ".join(install["names"])
    return [
        "## Installed on the device\n",
        f"{install['packages']} packages, {install['megabytes']} MB beside Python and this project: "
        f"{names}.\n",
    ]
