"""Where an edge half's time goes: ONNX Runtime's own profile, added up by operator."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def operator_times(model: bytes, picture_NCHW: NDArray[np.float32], rounds: int) -> list[dict[str, Any]]:
    """Operators as they run after ONNX Runtime's own fusions, the longest first.

    Profiling itself adds some microseconds to every node.

    Args:
        model: the graph.
        picture_NCHW: its input.
        rounds: pictures run; the first tenth does not count.

    Returns:
        Per operator its name, how many nodes, and their median microseconds added up.
    """
    events = _profile(model, picture_NCHW, rounds + rounds // 10)
    durations_us: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations_us[event["args"]["op_name"], event["name"]].append(event["dur"])
    totals: dict[str, list[float]] = defaultdict(list)
    for (operator, _), durations in durations_us.items():
        totals[operator].append(float(np.median(durations[rounds // 10 :])))
    rows = [
        {"operator": operator, "nodes": len(times), "us": round(sum(times), 1)}
        for operator, times in totals.items()
    ]
    return sorted(rows, key=lambda row: -float(str(row["us"])))


def _profile(model: bytes, picture_NCHW: NDArray[np.float32], rounds: int) -> list[dict[str, Any]]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        for _ in range(rounds):
            session.run(None, {"image": picture_NCHW})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
        return events
