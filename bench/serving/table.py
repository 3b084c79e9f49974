"""The figures of `siftfunnel bench serving` as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def render_serving(result: Mapping[str, Any]) -> str:
    """One page of tables from the JSON of a run."""
    machine, pinned = result["provenance"]["machine"], result["pinned"]
    settings = result["settings"]
    head = [
        "# The serving path at its limit",
        "",
        f"Bundle {result['bundle']}; {machine['processor']}, {machine['cores']} cores; model on core "
        f"{pinned['model_core']}, client on core {pinned['client_core']}; medians of {settings['rounds']} "
        f"interleaved repeats of {settings['frames_per_round']} frames; batches "
        f"of {settings['max_batch']} at most, {settings['window_frames']} frames in flight per stream, "
        "one worker, one thread per model.",
        "",
        *[f"Layout *{name}*: {text}." for name, text in pinned["layouts"].items()],
        "",
    ]
    parts = [
        head,
        ["## Throughput against the bare model in a loop", "", *_throughput(result["throughput"]), ""],
        ["## A model that does nothing", "", *_null(result["null"]), ""],
        ["## Latency at half load", "", *_latency(result["latency"]), ""],
        ["## As streams grow", "", *_growth(result["growth"])],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def series(result: Mapping[str, Any]) -> dict[str, list[float]]:
    """Throughput against streams, ready to plot."""
    growth = result["growth"]
    return {
        "streams": [row["streams"] for row in growth["model"]],
        "model_frames_per_s": [row["frames_per_s"] for row in growth["model"]],
        "null_frames_per_s": [row["frames_per_s"] for row in growth["null"]],
    }


def _throughput(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = [
        "layout",
        "codec",
        "streams",
        "frames per message",
        "frames/s",
        "of the bare loop, batch 16",
        "batch 1",
        "mean batch",
    ]
    return _table(
        [*titles, "server µs of CPU per frame"],
        [
            [
                row["layout"],
                row["codec"],
                row["streams"],
                row["frames_per_message"],
                f"{row['frames_per_s']:.0f}",
                _ratio(row, "16"),
                _ratio(row, "1"),
                f"{row['mean_batch']:.1f}",
                f"{row['server_cpu_us_per_frame']:.0f}",
            ]
            for row in rows
        ],
    )


def _ratio(row: Mapping[str, Any], batch: str) -> str:
    return f"{row['ratio_by_batch'][batch]:.3f} of {row['bare_frames_per_s_by_batch'][batch]:.0f}"


def _null(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = ["what", "streams", "messages/s", "frames/s", "added µs per frame"]
    return _table(
        [*titles, "server µs of CPU per frame", "client µs of CPU per frame"],
        [
            [
                row["what"],
                row["streams"],
                f"{row['messages_per_s']:.0f}",
                f"{row['frames_per_s']:.0f}",
                f"{row['added_us_per_frame']:.0f}",
                f"{row['server_cpu_us_per_frame']:.0f}",
                f"{row['client_cpu_us_per_frame']:.0f}",
            ]
            for row in rows
        ],
    )


def _latency(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = ["codec", "offered", "served p50", "p99", "plain gRPC with nothing behind it p50", "p99"]
    titles += ["compute alone p50", "p99"]
    return _table(
        [*titles, "same arrivals, compute alone with its queue, p50", "p99"],
        [
            [
                row["codec"],
                f"{row['offered_frames_per_s']:.0f}/s of {row['capacity_frames_per_s']:.0f}",
                *[
                    f"{row[which][rank]:.2f} ms"
                    for which in ("served_ms", "plain_grpc_ms", "compute_alone_ms", "queue_alone_ms")
                    for rank in ("p50", "p99")
                ],
            ]
            for row in rows
        ],
    )


def _growth(growth: Mapping[str, Any]) -> list[str]:
    titles = ["streams", "null: frames/s", "server µs of CPU per frame", "resident MiB, streams open"]
    return _table(
        [*titles, "KiB per stream", "model: frames/s", "server µs of CPU per frame"],
        [
            [
                null["streams"],
                f"{null['frames_per_s']:.0f}",
                f"{null['server_cpu_us_per_frame']:.0f}",
                f"{null['resident_mib_open']:.0f}",
                f"{null['kib_per_stream']:.0f}",
                f"{model['frames_per_s']:.0f}",
                f"{model['server_cpu_us_per_frame']:.0f}",
            ]
            for null, model in zip(growth["null"], growth["model"], strict=True)
        ],
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
