"""The one fitting loop: serves classifiers and decoders, resumes after any stop, keeps the best.

A run folder holds ``last.safetensors`` (weights, optimiser state, random states; the loop's counters as JSON
in its header), ``best.safetensors`` (the weights that scored best on validation) and ``run.json`` (what a
reader wants to know). Nothing is pickled.
"""

import ctypes
import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lab.provenance import provenance

LAST, BEST, RUN = "last.safetensors", "best.safetensors", "run.json"
PROGRESS_INTERVAL_S = 5.0


class TrainingDivergedError(RuntimeError):
    """The loss became NaN or infinite; the last finished epoch's checkpoint is untouched."""


class OutOfMemoryError(RuntimeError):
    """A step did not fit into memory; says what to lower. The last finished epoch's checkpoint is kept."""


class RunFolderError(ValueError):
    """A run folder that does not fit: made by other settings, or damaged."""


class Task(ABC):
    """What the loop fits: a model, its batches, its loss and its score.

    Attributes:
        model: What is trained.
        batch_size: Pictures per step.
    """

    model: nn.Module
    batch_size: int

    @property
    @abstractmethod
    def samples_per_epoch(self) -> int:
        """Pictures in one epoch."""

    def begin_epoch(self, epoch: int) -> None:  # noqa: B027 - only tasks with a schedule of their own need it
        """Take note that an epoch begins, counted from 0."""

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[Any]:
        """One epoch of batches, with all randomness from ``generator``."""

    @abstractmethod
    def loss(self, batch: Any) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The scalar to minimise, and named numbers for the log; tensors need not wait for a GPU."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures on the validation pictures; the highest ``score`` makes the best checkpoint."""


@dataclass(frozen=True)
class FitSettings:
    """Optimiser and schedule; see ``lab.recipes.Recipe``. Training ends early at a score of ``stop_at``."""

    epochs: int
    learning_rate: float
    warmup_share: float = 0.15
    beta1: float = 0.9
    weight_decay: float = 1e-2
    seed: int = 1
    stop_at: float | None = None


@dataclass
class Progress:
    """Where a run stands; stored with every checkpoint."""

    epochs_done: int = 0
    best_score: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def one_cycle(step: int, total_steps: int, peak: float, warmup_share: float) -> float:
    """Learning rate of a step: a straight climb from peak / 25 to ``peak``, then a cosine down to 0.

    Example:
        >>> [round(one_cycle(step, 100, 1.0, 0.1), 2) for step in (0, 10, 55, 100)]
        [0.04, 1.0, 0.5, 0.0]
    """
    warmup = warmup_share * total_steps
    if step < warmup:
        return peak * (0.04 + 0.96 * step / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))


def epochs_of(epochs: int, least_steps: int, task: Task) -> int:
    """Passes of a training that has so many, and so many steps at least: few pictures make short passes.

    Example: 12 passes of 842 pictures in batches of 128 are 84 steps; with 900 at least they become 129.
    """
    return max(epochs, math.ceil(least_steps / math.ceil(task.samples_per_epoch / task.batch_size)))


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks instead of returning them to the system.

    A training step frees and reallocates the same large tensors; without this, page faults take a third of
    the step on a CPU (measured: 400 -> 590 pictures a second). Does nothing where there is no glibc.
    """
    m_trim_threshold, m_mmap_threshold, two_gigabytes = -1, -3, 2**31 - 1
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_threshold, two_gigabytes)
        libc.mallopt(m_trim_threshold, two_gigabytes)
    except (OSError, AttributeError):
        return


def _write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    partial = path.with_suffix(".partial")
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, metadata=header
    )
    partial.replace(path)


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]
            # the parameter's memory format keeps the optimiser's fast path after a resume
            state.setdefault(int(index), {})[key] = (
                torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            )
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class Run:
    """A run folder: writes and restores checkpoints."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """``about`` identifies the run (recipe, data) and is compared when the folder already holds one."""
        self.folder = folder
        self.about = json.loads(json.dumps(about))
        self._made_with = provenance()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RUN).is_file():
            stored = json.loads((folder / RUN).read_text())["about"]
            differing = sorted(k for k in {*stored, *self.about} if stored.get(k) != self.about.get(k))
            if differing:
                raise RunFolderError(
                    f"{folder} holds a run with other settings ({', '.join(differing)}); "
                    "choose another folder or delete it"
                )

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        progress: Progress,
        *,
        is_best: bool,
    ) -> None:
        """Store one finished epoch; each file is replaced in one step."""
        weights = model.state_dict()
        if is_best:
            _write_tensors(self.folder / BEST, weights, {"epoch": str(progress.epochs_done)})
        tensors = {f"model.{name}": value for name, value in weights.items()}
        tensors |= _optimizer_tensors(optimizer)
        tensors |= {"random.global": torch.get_rng_state(), "random.data": generator.get_state()}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        _write_tensors(self.folder / LAST, tensors, {"progress": json.dumps(vars(progress))})
        text = (
            json.dumps({"about": self.about, **vars(progress), "provenance": self._made_with}, indent=1)
            + "\n"
        )
        partial = self.folder / (RUN + ".partial")
        partial.write_text(text)
        partial.replace(self.folder / RUN)

    def restore(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> Progress:
        """Continue from the last finished epoch, or start fresh when there is none."""
        if self.is_fresh():
            return Progress()
        path = self.folder / LAST
        with safe_open(path, framework="pt") as opened:
            progress = Progress(**json.loads(opened.metadata()["progress"]))
        tensors = load_file(path)
        prefix = "model."
        model.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        _restore_optimizer(optimizer, tensors)
        torch.set_rng_state(tensors["random.global"])
        generator.set_state(tensors["random.data"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return progress

    def is_fresh(self) -> bool:
        """Whether no epoch has been finished here."""
        return not (self.folder / LAST).is_file()

    def load_best(self, model: nn.Module) -> nn.Module:
        """Put the best weights into ``model``."""
        path = self.folder / BEST
        if not path.is_file():
            raise RunFolderError(f"{self.folder} holds no finished epoch yet ({BEST} is missing)")
        model.load_state_dict(load_file(path))
        return model


def _show(text: str, *, final: bool = False) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K" + text + ("\n" if final else ""))
        sys.stderr.flush()
    elif final:
        print(text, file=sys.stderr, flush=True)


def _fit_epoch(
    task: Task,
    optimizer: torch.optim.Optimizer,
    settings: FitSettings,
    generator: torch.Generator,
    epoch: int,
) -> dict[str, float]:
    """One epoch; returns the mean of what the task logs."""
    task.model.train()
    task.begin_epoch(epoch)
    steps = math.ceil(task.samples_per_epoch / task.batch_size)
    sums: dict[str, float | Tensor] = {}
    started = shown = time.monotonic()
    step = 0
    for step, batch in enumerate(task.batches(generator), start=1):
        rate = one_cycle(
            epoch * steps + step - 1, settings.epochs * steps, settings.learning_rate, settings.warmup_share
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss, logged = task.loss(batch)
        if not math.isfinite(float(loss.detach())):
            raise TrainingDivergedError(
                f"the loss is {float(loss.detach())} in epoch {epoch + 1}, step {step}; the checkpoint of "
                f"epoch {epoch} is kept. Lower the learning rate and start again"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for name, value in logged.items():
            sums[name] = sums.get(name, 0.0) + value
        now = time.monotonic()
        if now - shown > PROGRESS_INTERVAL_S:
            shown = now
            rate_per_s = step * task.batch_size / (now - started)
            _show(f"epoch {epoch + 1}/{settings.epochs}  step {step}/{steps}  {rate_per_s:.0f} images/s")
    return {name: float(total) / max(step, 1) for name, total in sums.items()}


def adamw(model: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    """The optimiser of every run but private ones."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.beta1, 0.999),
        weight_decay=settings.weight_decay,
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch failed to allocate, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def fit(
    task: Task,
    settings: FitSettings,
    run: Run,
    make_optimizer: Callable[[nn.Module, FitSettings], torch.optim.Optimizer] = adamw,
) -> Progress:
    """Train ``task.model`` until ``settings.epochs``, from where the run folder stands.

    After an epoch the checkpoint is replaced, so an interrupt loses at most one epoch.

    Raises:
        TrainingDivergedError: the loss is no longer a number.
        OutOfMemoryError: a step does not fit into memory.
    """
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = make_optimizer(task.model, settings)
    progress = run.restore(task.model, optimizer, generator)
    for epoch in range(progress.epochs_done, settings.epochs):
        if settings.stop_at is not None and progress.best_score >= settings.stop_at:
            break
        started = time.monotonic()
        try:
            logged = _fit_epoch(task, optimizer, settings, generator, epoch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"a step of {task.batch_size} pictures does not fit into memory (epoch {epoch + 1}; the "
                f"checkpoint of epoch {epoch} is kept). Lower the batch size or the width"
            ) from error
        trained_s = time.monotonic() - started
        task.model.eval()
        with torch.no_grad():
            figures = task.validate()
        rate = task.samples_per_epoch / trained_s
        progress.epochs_done = epoch + 1
        progress.seconds += time.monotonic() - started
        progress.history.append({"epoch": epoch + 1, "images_per_s": round(rate, 1), **logged, **figures})
        is_best = figures["score"] > progress.best_score
        if is_best:
            progress.best_score, progress.best_epoch = figures["score"], epoch + 1
        run.save(task.model, optimizer, generator, progress, is_best=is_best)
        left_s = progress.seconds / progress.epochs_done * (settings.epochs - progress.epochs_done)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in {**logged, **figures}.items())
        _show(
            f"epoch {epoch + 1}/{settings.epochs}  {rate:.0f} images/s  {left_s / 60:.1f} min left  {numbers}"
            + ("  best" if is_best else ""),
            final=True,
        )
    return progress
