"""The audit in three lines of Python, of a PyTorch module or an ONNX file and anybody's pictures.

from siftfunnel.lab import audit
report = audit(module_or_onnx, pictures)
report.show()
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from siftfunnel.lab.arguments import say
from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.attacks.fingerprint import victim_fingerprint
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.audit.audit import audit
from siftfunnel.lab.audit.budgets import budget as budget_of
from siftfunnel.lab.audit.subject import Request
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.evaluation.places import default_out
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.reports.audit_annex import ANNEX, risk_rows
from siftfunnel.lab.reports.audit_page import PAGE
from siftfunnel.lab.targets.edges import LoadedEdge, probe_edge
from siftfunnel.lab.targets.layout import FeatureLayout
from siftfunnel.lab.targets.target import Target, target_of_foreign
from siftfunnel.shared.preprocess import InputSpec

CPU = torch.device("cpu")
WHITE_BOX = "it is a PyTorch module, so gradients pass"


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        figures: The contents of ``report.json``.
        folder: Where ``report.html``, ``report.json`` and ``annex.md`` lie.
    """

    figures: dict[str, Any]
    folder: Path

    def __str__(self) -> str:
        found = self.figures
        lines = [found["verdict"]["headline"]]
        for frames, column in found["columns"].items():
            attack = found["attacks"][column["attack"]]["label"]
            lines.append(
                f"{frames} frame(s): {column['psnr_db']:.1f} dB ({attack}), "
                f"{100 * column['identified']:.0f} % of the pictures told"
            )
        for risk in risk_rows(found):
            low, high = (100 * end for end in risk["ci95"])
            lines.append(
                f"{risk['label']}: {100 * risk['attack']:.1f} %, control {100 * risk['control']:.1f} %, "
                f"excess {100 * risk['excess']:.1f} % [{low:.1f}, {high:.1f}]"
            )
        lines += [f"! {flag['about']}: {flag['text']}" for flag in found["flags"]]
        return "\n".join([*lines, *found["agreement"], str(self.folder / PAGE), str(self.folder / ANNEX)])

    def show(self) -> None:
        """Print it."""
        print(self)


def audit_of(
    edge: nn.Module | str | Path,
    pictures: str | Path | NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    *,
    budget: str = "fast",
    size: tuple[int, int] | None = None,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    out: str | Path | None = None,
    device: torch.device = CPU,
    show: Show = say,
) -> Report:
    """Attack an edge half with AutoInvert and report what leaks; the same call continues an audit.

    Args:
        edge: From pictures N x 3 x H x W to features; a module is attacked with gradients, an ONNX file by
            queries alone.
        pictures: A folder or tar of pictures, or ``uint8`` arrays H x W x 3: a part is attacked, the rest is
            the attacker's. A few hundred or more say more.
        budget: ``fast``, ``standard`` or ``thorough``.
        size: Height and width that ``edge`` takes; None takes the arrays' own, or what an ONNX file says.
        mean: Subtracted from pictures in [0, 1], per colour.
        std: By which they are divided then.
        out: Folder of the report; None takes ``runs/audit-NAME-DIGEST``.
        device: Where a module computes.
        show: Takes a line of progress.

    Raises:
        DataError: too few pictures, or arrays that are no pictures.
        EdgeError: an edge half that does not do what it should.
        ValueError: no size can be told.
    """
    height, width = size or _size_of(edge, pictures)
    spec = InputSpec(height, width, tuple(mean), tuple(std))
    target = target_of_module(edge, spec, device) if isinstance(edge, nn.Module) else None
    if target is None:
        path = Path(edge)  # type: ignore[arg-type]  # a module has been told apart
        target = _target_of_file(path, spec, Path(out or "runs") / f"{path.stem}-spec.json", device)
    folder = Path(out) if out is not None else default_out(target.name, target.digest)
    place = Path(pictures) if isinstance(pictures, str | Path) else _stored(pictures, folder / "pictures")
    wanted = Request(out=folder, budget=budget_of(budget), images=place)
    return Report(audit(target, wanted, show), folder)


def _size_of(edge: nn.Module | str | Path, pictures: Any) -> tuple[int, int]:
    if not isinstance(pictures, str | Path):
        height, width = np.shape(pictures[0])[:2]
        return int(height), int(width)
    if not isinstance(edge, nn.Module):
        sides = [side for side in Runner(Path(edge)).inputs[0].shape[2:] if isinstance(side, int)]
        if len(sides) == 2:
            return sides[0], sides[1]
    raise ValueError("say which pictures the edge half takes: size=(height, width)")


def _stored(pictures: Any, folder: Path) -> Path:
    """Arrays as PNG files, which the audit reads as it reads anybody's."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise DataError(
                f"picture {index} must be uint8, height x width x 3, not {array.dtype} {array.shape}"
            )
        Image.fromarray(array).save(folder / f"{index:06d}.png")
    return folder


def target_of_module(module: nn.Module, spec: InputSpec, device: torch.device) -> Target:
    """A PyTorch edge half, white-box, frozen and in evaluation mode; its features' shape is found out."""
    edge = module.to(device).eval().requires_grad_(False)
    with torch.no_grad():
        feature = tuple(edge(torch.zeros(1, 3, spec.height, spec.width, device=device)).shape[1:])
    name = type(module).__name__.lower()
    layout = FeatureLayout(feature, (spec.height, spec.width))
    loaded = LoadedEdge.of(edge, spec, white_box=True, reason=WHITE_BOX)
    noisy = probe_edge(loaded, spec, feature, device, name)

    def mapped(x_NCHW: Tensor) -> Tensor:
        return layout.to_maps(loaded.edge(x_NCHW))

    victim = Victim(
        edge=edge if layout.is_identity else mapped,
        stage=nn.Identity(),
        mean=loaded.mean,
        std=loaded.std,
        image_shape=(3, spec.height, spec.width),
        feature_shape=layout.maps,
        device=device,
        stochastic=noisy,
        noisy_edge=noisy,
    )
    about: dict[str, Any] = {"defence": None, "architecture": None, "split_point": None, "edge_stages": []}
    digest = victim_fingerprint(victim)
    return Target(name, "foreign", victim, WHITE_BOX, layout, spec, digest, about)


def _target_of_file(path: Path, spec: InputSpec, told: Path, device: torch.device) -> Target:
    """An ONNX edge half, black-box; ``told`` becomes its spec."""
    zeros = np.zeros((1, *spec.tensor_shape), dtype=np.float32)
    feature = list(Runner(path).first(zeros).shape[1:])
    size = {"height": spec.height, "width": spec.width, "mean": list(spec.mean), "std": list(spec.std)}
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps({"name": path.stem, "input": size, "feature": feature}) + "\n")
    return target_of_foreign(path, told, device)
