"""A cell as it could be measured, for tests that need one."""

from typing import Any

from siftfunnel.bench.cells.result import BothWays, Cell, EarlyStopping, Latency, LayerBytes, Repeat, Stages
from siftfunnel.bench.links.profiles import link_profile


def sample_cell(**changes: Any) -> Cell:
    """A valid cell, with fields replaced."""
    values: dict[str, Any] = {
        "bundle": "drawnfaces-siftfunnel",
        "digest": "ab" * 32,
        "defence": "siftfunnel",
        "mode": "split",
        "codec": "q4",
        "link": link_profile("slow-4g"),
        "emulation": "tun",
        "calibration": None,
        "scenario": "SingleStream",
        "settings": {"seconds": 8.0},
        "frames": 40,
        "warm_up_frames": 3,
        "repeats": 2,
        "latency_ms": Latency(161.0, 160.0, 163.5, 170.25, EarlyStopping(True, 164.0, None, "satisfied")),
        "frames_per_s": 6.2,
        "target_frames_per_s": None,
        "overloaded": False,
        "stages_ms": Stages(0.0, 0.5, 1.5, 0.25, 78.0, 0.25, 0.125, 2.0, 77.0),
        "stage_residual": 0.01,
        "bytes": BothWays(LayerBytes(580.0, 640.0, 740.0, 741.5), LayerBytes(30.0, 80.0, None, None)),
        "correct": 30,
        "judged": 38,
        "errors": {"UNREACHABLE": 2},
        "frames_resent": 1,
        "late": None,
        "per_repeat": (Repeat(6.2, 160.0, 163.0, 170.0), Repeat(6.2, 160.0, 164.0, 170.5)),
    }
    return Cell(**(values | changes))
