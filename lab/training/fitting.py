"""The one fitting loop: serves classifiers and decoders, resumes after any stop, keeps the best."""

import ctypes
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from siftfunnel.lab.training.checkpoints import Progress, RunFolder
from siftfunnel.lab.training.interrupts import Interrupts

PROGRESS_INTERVAL_S = 5.0
LOGGED_INTERVAL_S = 30.0
"""Between two lines of an epoch under way, where progress is written to a file."""


class TrainingDivergedError(RuntimeError):
    """The loss became NaN or infinite; the last finished epoch's checkpoint is untouched."""


class OutOfMemoryError(RuntimeError):
    """A step did not fit into memory; says what to lower. The last finished epoch's checkpoint is kept."""


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
    """Optimiser and schedule; see ``lab.training.recipes.Recipe``. Training ends at a score of ``stop_at``.

    ``stage`` stands before each line of progress, for a training that is one of several.
    """

    epochs: int
    learning_rate: float
    warmup_share: float = 0.15
    beta1: float = 0.9
    weight_decay: float = 1e-2
    seed: int = 1
    stop_at: float | None = None
    stage: str = ""


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


class _Line:
    """Progress of an epoch: one line that is written over on a terminal, now and then a line in a file."""

    def __init__(self) -> None:
        self._shown_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def show(self, text: Callable[[], str]) -> None:
        """Show a text if the time has come."""
        now_s = time.monotonic()
        if now_s - self._shown_s > (PROGRESS_INTERVAL_S if self._is_terminal else LOGGED_INTERVAL_S):
            self._shown_s = now_s
            self._write(text(), "" if self._is_terminal else "\n")

    def end(self, text: str) -> None:
        """Show a text that stays."""
        self._write(text, "\n")

    def _write(self, text: str, end: str) -> None:
        sys.stderr.write(("\r\x1b[2K" if self._is_terminal else "") + text + end)
        sys.stderr.flush()


def _step(task: Task, optimizer: torch.optim.Optimizer, batch: Any, rate: float, where: str) -> Any:
    """One step at a learning rate, of which a group may have a share; returns what the task logs."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate_share", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss, logged = task.loss(batch)
    if not math.isfinite(float(loss.detach())):
        raise TrainingDivergedError(
            f"the loss is {float(loss.detach())} in {where}; the last checkpoint is kept. Lower the learning "
            "rate and start again"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return logged


def _batches(task: Task, generator: torch.Generator, done: int) -> Iterator[tuple[int, Any]]:
    """One epoch of batches with their numbers from 1, without the first ``done``.

    What those draw from PyTorch's own generators was drawn before the stop, so it does not count again.
    """
    held, on_gpu = torch.get_rng_state(), torch.cuda.is_available()
    held_on_gpu = torch.cuda.get_rng_state() if on_gpu else None
    for step, batch in enumerate(task.batches(generator), start=1):
        if step <= done:
            continue
        if step == done + 1 and done:
            torch.set_rng_state(held)
            if held_on_gpu is not None:
                torch.cuda.set_rng_state(held_on_gpu)
        yield step, batch


def _fit_epoch(
    task: Task,
    optimizer: torch.optim.Optimizer,
    settings: FitSettings,
    generator: torch.Generator,
    progress: Progress,
    interrupts: Interrupts,
    line: _Line,
) -> bool:
    """Steps of the epoch under way, counted in ``progress``; whether it came to its end."""
    task.model.train()
    epoch = progress.epochs_done
    task.begin_epoch(epoch)
    steps = math.ceil(task.samples_per_epoch / task.batch_size)
    sums: dict[str, float | Tensor] = dict(progress.sums)
    started, begun = time.monotonic(), progress.steps_done

    def state(step: int) -> str:
        rate_per_s = (step - begun) * task.batch_size / (time.monotonic() - started)
        left_s = (settings.epochs * steps - epoch * steps - step) * task.batch_size / rate_per_s
        return (
            f"{settings.stage}epoch {epoch + 1}/{settings.epochs}  step {step}/{steps}  "
            f"{rate_per_s:.0f} images/s  {left_s / 60:.1f} min left"
        )

    for step, batch in _batches(task, generator, begun):
        rate = one_cycle(
            epoch * steps + step - 1, settings.epochs * steps, settings.learning_rate, settings.warmup_share
        )
        logged = _step(task, optimizer, batch, rate, f"epoch {epoch + 1}, step {step}")
        for name, value in logged.items():
            sums[name] = sums.get(name, 0.0) + value
        progress.steps_done = step
        line.show(lambda step=step: state(step))  # type: ignore[misc]
        if interrupts.noted and step < steps:
            break
    progress.sums = {name: float(total) for name, total in sums.items()}
    return progress.steps_done >= steps or not interrupts.noted


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
    run: RunFolder,
    make_optimizer: Callable[[nn.Module, FitSettings], torch.optim.Optimizer] = adamw,
) -> Progress:
    """Train ``task.model`` until ``settings.epochs``, from where the run folder stands.

    The checkpoint is replaced after every epoch and on Ctrl-C, which takes effect after the step under way;
    a run that was stopped and continued ends as one that was not. Killed, it loses one epoch at most.

    Raises:
        TrainingDivergedError: the loss is no longer a number.
        OutOfMemoryError: a step does not fit into memory.
    """
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    optimizer = make_optimizer(task.model, settings)
    progress = run.restore(task.model, optimizer, generator)
    with Interrupts() as interrupts:
        while progress.epochs_done < settings.epochs and not _is_good_enough(progress, settings):
            _advance(task, settings, run, optimizer, generator, progress, interrupts)
    return progress


def _is_good_enough(progress: Progress, settings: FitSettings) -> bool:
    return settings.stop_at is not None and progress.best_score >= settings.stop_at


def _advance(
    task: Task,
    settings: FitSettings,
    run: RunFolder,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """One epoch, or the rest of one: train, validate, store.

    Raises:
        KeyboardInterrupt: asked to stop; what was done is stored.
    """
    line, order, started, begun = _Line(), generator.get_state(), time.monotonic(), progress.steps_done
    epoch = progress.epochs_done
    try:
        is_whole = _fit_epoch(task, optimizer, settings, generator, progress, interrupts, line)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"a step of {task.batch_size} pictures does not fit into memory (epoch {epoch + 1}; the last "
            "checkpoint is kept). Lower the batch size or the width"
        ) from error
    trained_s = time.monotonic() - started
    if is_whole:
        steps, progress.steps_done = progress.steps_done, 0
        logged = {name: total / steps for name, total in progress.sums.items()}
        progress.sums = {}
        task.model.eval()
        with torch.no_grad():
            figures = task.validate()
        rate = (steps - begun) * task.batch_size / trained_s
        progress.epochs_done = epoch + 1
        progress.history.append({"epoch": epoch + 1, "images_per_s": round(rate, 1), **logged, **figures})
        is_best = figures["score"] > progress.best_score
        if is_best:
            progress.best_score, progress.best_epoch = figures["score"], epoch + 1
        order = generator.get_state()
    progress.seconds += time.monotonic() - started
    run.save(task.model, optimizer, order, progress, is_best=is_whole and is_best)
    if is_whole:
        left_s = progress.seconds / progress.epochs_done * (settings.epochs - progress.epochs_done)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in {**logged, **figures}.items())
        line.end(
            f"{settings.stage}epoch {epoch + 1}/{settings.epochs}  {rate:.0f} images/s  "
            f"{left_s / 60:.1f} min left  {numbers}{'  best' if is_best else ''}"
        )
    if interrupts.noted:
        within = f" and {progress.steps_done} steps of the next" if progress.steps_done else ""
        line.end(
            f"{settings.stage}stopped after {progress.epochs_done} of {settings.epochs} epochs{within}; "
            f"kept in {run.folder}, the same command continues"
        )
        raise KeyboardInterrupt
