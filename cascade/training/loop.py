"""The training loop: AdamW on a cosine schedule, averaged weights, checkpoints that survive a kill."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from cascade.errors import OutputError, TrainingError
from cascade.io.files import replacing
from cascade.networks.checkpoint import build_network, save_checkpoint
from cascade.networks.spec import StageSpec
from cascade.training.examples import Example, draw_batch, with_junctions
from cascade.training.loss import partial_label_loss
from cascade.training.progress import save_progress
from cascade.training.ranks import mean_over_ranks, rank, rank_zero_says, shared
from cascade.training.recipe import Recipe

CHECKPOINT_SECONDS = 180.0
#: Steps between two pictures of the progress.
PICTURE_STEPS = 250
_WARM_UP_STEPS = 100

#: Called after every step with the step, the number of steps and the loss.
Progress = Callable[[int, int, float], None]


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How a run is done; what it computes is in the recipe.

    Parameters
    ----------
    device : str
    resume : bool
        Go on from the state in the output folder, if there is one.
    init : nn.Module, optional
        Weights to start from.
    max_seconds : float
        Stop, ready to be resumed, after this time.
    progress : callable, optional
    """

    device: str = "cpu"
    resume: bool = False
    init: nn.Module | None = None
    max_seconds: float = math.inf
    progress: Progress | None = None


@dataclasses.dataclass
class Run:
    """The state of a training run: what a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0

    @classmethod
    def start(cls, recipe: Recipe, device: str, init: nn.Module | None = None) -> Run:
        """Begin from random weights, or from those of `init`; compile the network if the recipe says so.

        Raises
        ------
        TrainingError
            The weights do not fit, or torch cannot compile here.
        """
        torch.manual_seed(recipe.seed)
        network = build_network(recipe.spec)
        if init is not None:
            _take_over(network, init)
        network = network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        average = copy.deepcopy(network).eval()
        if recipe.compiled:
            _compile(network)
        return cls(network, average, optimizer)

    def save(self, path: Path) -> None:
        """Write the state to `path`, whole or not at all."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        content = io.BytesIO()  # torch's own writing ends in a RuntimeError where the disk is full
        torch.save(state, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())

    def load(self, path: Path) -> None:
        """Take up the state that `save` wrote.

        Raises
        ------
        TrainingError
            The state belongs to another network.
        """
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = int(state["step"])
        except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
            raise TrainingError(f"{path}: expected the state of a run of this recipe ({error}); train into a new folder") from error


def _take_over(network: nn.Module, init: nn.Module) -> None:
    try:
        network.load_state_dict(init.state_dict())
    except RuntimeError as error:
        raise TrainingError(f"the weights to start from do not fit the network of this recipe ({error})") from error


def _compile(network: nn.Module) -> None:
    """Let torch compile the network when it is first called; what torch needs for that is tried out on one number."""
    try:
        torch.compile(torch.neg, dynamic=False)(torch.ones(8))
    except (RuntimeError, OSError, ImportError, UnicodeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TrainingError(f"torch cannot compile on this machine ({reason}); train without --compile") from error
    network.compile(dynamic=False)


def train(examples: Sequence[Example], recipe: Recipe, out: Path, options: RunOptions | None = None) -> StageSpec:
    """Train, and leave the averaged weights with their StageSpec in `out`.

    The state is written to ``out/state.pt`` every few minutes and at the end; a run that is resumed goes on from
    there with the same schedule and the same batches, as if it had never stopped. Beside it lie ``log.csv`` and, every few
    hundred steps, ``progress.png``. Within `cascade.training.ranks.joined` several processes train together: each draws its own
    patches, all keep the same weights, and rank 0 writes.

    Parameters
    ----------
    examples : sequence of Example
    recipe : Recipe
    out : Path
    options : RunOptions, optional

    Returns
    -------
    StageSpec
        As written beside the weights.

    Raises
    ------
    TrainingError
        The loss became NaN or infinite, or the weights or the state to start from do not fit.
    OutputError
        `out` cannot be written.
    """
    options = options or RunOptions()
    with _writing_to(out):  # said before anything is computed
        pass
    examples = with_junctions(examples, recipe)
    run = Run.start(recipe, options.device, options.init)
    if options.resume and (out / "state.pt").is_file():
        run.load(out / "state.pt")
    forward = shared(run.network)
    started = saved = time.monotonic()
    limit = options.max_seconds
    with _writing_to(out), _Log(out / "log.csv", steps_done=run.step) if not rank() else contextlib.nullcontext() as log:
        while run.step < recipe.steps and not (limit < math.inf and rank_zero_says(time.monotonic() - started >= limit)):
            begun = time.monotonic()
            images, allowed = draw_batch(examples, recipe, run.step, rank())
            loss = _step(run, recipe, forward, images, allowed)
            if log is None:
                continue
            log.add(run.step, loss, run.optimizer.param_groups[0]["lr"], time.monotonic() - begun)
            if options.progress:
                options.progress(run.step, recipe.steps, loss)
            if run.step % PICTURE_STEPS == 0:
                save_progress(run.average, images, allowed, out / "progress.png")
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                _store(run, recipe, examples, out)
                saved = time.monotonic()
    return _store(run, recipe, examples, out)


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise OutputError(f"{folder}: cannot write here ({error.strerror or error}); choose another output") from error


def _step(run: Run, recipe: Recipe, forward: nn.Module, images: Tensor, allowed: Tensor) -> float:
    device = next(run.network.parameters()).device
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * _schedule(run.step, recipe.steps)
    # Not on a CPU: torch returns wrong gradients there, or crashes (docs/notes/2026-11-22-training-time.md).
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits = forward(images.to(device, memory_format=torch.channels_last_3d))
    loss = partial_label_loss(logits, allowed.to(device))
    mean = mean_over_ranks(loss)
    if not torch.isfinite(mean):
        raise TrainingError(f"the loss is {mean.item()} at step {run.step}; resume from the last state with a lower learning rate")
    run.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimizer.step()
    run.step += 1
    decay = min(recipe.ema, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        for average, value in zip(run.average.parameters(), run.network.parameters(), strict=True):
            average.lerp_(value, 1 - decay)
    return float(mean)


def _schedule(step: int, steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then a cosine from 1 to 0.01."""
    warm_up = min(1.0, (step + 1) / _WARM_UP_STEPS)
    return warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))


def _store(run: Run, recipe: Recipe, examples: Sequence[Example], out: Path) -> StageSpec:
    """Write state and weights (rank 0); return the spec."""
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.case.dataset] = counts.get(example.case.dataset, 0) + 1
    training = {"cases": counts, "steps_done": run.step, "recipe": recipe.settings()}
    spec = dataclasses.replace(recipe.spec, training=training)
    if rank():
        return spec
    run.save(out / "state.pt")
    return save_checkpoint(run.average, spec, out)


class _Log:
    """``log.csv``, one line a step; steps after the state that a run resumes from are taken out."""

    COLUMNS = ("step", "loss", "learning_rate", "seconds")

    def __init__(self, path: Path, steps_done: int) -> None:
        rows = path.read_text(encoding="utf-8").splitlines()[1 : steps_done + 1] if steps_done and path.is_file() else []
        missing = len(self.COLUMNS) - 1
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(self.COLUMNS)
        self._stream.writelines(f"{row}{',' * (missing - row.count(','))}\n" for row in rows)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, step: int, loss: float, learning_rate: float, seconds: float) -> None:
        self._writer.writerow([step, f"{loss:.5f}", f"{learning_rate:.3e}", f"{seconds:.3f}"])
        if step % 20 == 0:
            self._stream.flush()
