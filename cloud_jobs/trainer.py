"""The training loop: each worker computes on its share of a batch, gradients are averaged, all take the same step.

Order of samples and all chance are functions of seed and step, never of the worker or the attempt. So a run that was
stopped at any step and resumed ends with the very same weights, and one sample is used by exactly one worker.
Flow: recipe's Config, Gang, CheckpointFolder -> `Trainer.run` -> Trained -> export, metrics.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cloud_jobs.checkpoint import Checkpoint, CheckpointFolder
from cloud_jobs.gang import Gang
from cloud_jobs.interrupt import Interrupt
from cloud_jobs.recipes.config import Config
from cloud_jobs.weights import read_weights
from toolkit.errors import JobError, UsageError

log = logging.getLogger(__name__)

CHANCE_PER_SEED = 1_000_003
"""Prime that keeps the random streams of neighbouring seeds apart."""


@dataclass(frozen=True)
class Pace:
    """When to save and when to speak. `checkpoint_steps` 0 leaves saving to the clock; times in seconds."""

    checkpoint_seconds: float = 600.0
    checkpoint_steps: int = 0
    log_steps: int = 200


@dataclass(frozen=True)
class Trained:
    """What a run ended with. `interrupted`: it saved its state early because it was asked to leave."""

    model: nn.Module
    step: int
    resumed_at_step: int
    seconds: float
    interrupted: bool


@dataclass(frozen=True)
class Scores:
    """Means over the held-out samples, and how many there are."""

    score: float
    loss: float
    held_out: int


class Trainer:
    """One worker's part of one run."""

    def __init__(
        self, config: Config, gang: Gang, folder: CheckpointFolder, *, seed: int, start: Path | None
    ) -> None:
        """Load the data, make the model and begin where the newest checkpoint ends.

        Raises:
            UsageError: batch and workers do not fit, or the recipe's starting weights are missing.
            IntegrityError: the newest checkpoint cannot be used.
            JobError: workers see different checkpoints.

        """
        self._config, self._gang, self._folder, self._seed = config, gang, folder, seed
        self._check_batch()
        torch.set_num_threads(config.cpu_threads)
        self.data = config.data()
        self._steps_per_epoch = len(self.data.samples) // config.batch
        self.last_step = config.epochs * self._steps_per_epoch
        torch.manual_seed(seed)
        self.model = config.model()
        self._begin_from(start)
        self.model.to(gang.device)
        moving = [each for name, each in self.model.named_parameters() if self._moves(name)]
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = self._moves(name)
        self._optimizer = torch.optim.AdamW(moving, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.step = self.resumed_at_step = self._resume()

    def run(self, interrupt: Interrupt, pace: Pace) -> Trained:
        """Train to the last step, or until any worker is asked to leave; the state is saved either way."""
        began = saved = time.monotonic()
        stop = False
        parallel = DistributedDataParallel(self.model.train(), gradient_as_bucket_view=True)
        while self.step < self.last_step and not stop:
            loss = self._train_step(parallel)
            self.step += 1
            if self.step % pace.log_steps == 0:
                log.info("step %d of %d: loss %.4f", self.step, self.last_step, loss)
            due = time.monotonic() - saved >= pace.checkpoint_seconds
            due |= bool(pace.checkpoint_steps) and self.step % pace.checkpoint_steps == 0
            # Workers differ in what they were told and in their clocks: all do what any of them wants.
            stop, due = map(bool, self._gang.largest(interrupt.asked, due))
            if due and not stop:
                self._save()
                saved = time.monotonic()
        self._save()
        seconds = time.monotonic() - began
        return Trained(self.model, self.step, self.resumed_at_step, seconds, self.step < self.last_step)

    def first_held_out(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the first held-out samples and their truth, as golden inputs."""
        return self.data.held_out_samples[:count], self.data.held_out_truth[:count]

    def evaluate(self) -> Scores:
        """Score the held-out samples, each by exactly one worker; all workers get the same answer."""
        rank, workers = self._gang.place.rank, self._gang.place.world_size
        samples, truth = self.data.held_out_samples[rank::workers], self.data.held_out_truth[rank::workers]
        self.model.eval()
        score = loss = 0.0
        with torch.no_grad():
            for begin in range(0, len(samples), self._config.batch):
                part = slice(begin, begin + self._config.batch)
                logits = self.model(samples[part].to(self._gang.device))
                expected = truth[part].to(self._gang.device)
                score += float(self._config.score(logits, expected).sum())
                loss += float(self._config.loss(logits, expected)) * len(expected)
        score, loss = self._gang.total(score, loss)
        count = len(self.data.held_out_samples)
        return Scores(score / count, loss / count, count)

    def _train_step(self, parallel: nn.Module) -> float:
        """Take one step on this worker's share of the batch and return its loss."""
        samples, truth = self._share(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        self._optimizer.zero_grad()
        loss = self._config.loss(parallel(samples), truth)
        # Shares are equally large, so the mean of the workers' gradients is the gradient of the whole batch.
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def _share(self, step: int) -> tuple[Tensor, Tensor]:
        """Return this worker's samples of a step: the whole batch is drawn and changed alike everywhere, then split."""
        epoch, position = divmod(step, self._steps_per_epoch)
        order = torch.randperm(len(self.data.samples), generator=self._chance(epoch))
        chosen = order[position * self._config.batch : (position + 1) * self._config.batch]
        samples, truth = self.data.samples[chosen], self.data.truth[chosen]
        if self._config.augment is not None:
            samples, truth = self._config.augment(samples, truth, self._chance(self._config.epochs + step))
        mine = slice(self._gang.place.rank, None, self._gang.place.world_size)
        device = self._gang.device
        return samples[mine].contiguous().to(device), truth[mine].contiguous().to(device)

    def _chance(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed * CHANCE_PER_SEED + stream)

    def _learning_rate(self, step: int) -> float:
        """Rise linearly over the warm-up steps, then fall along half a cosine to zero.

        Source of the shape: Loshchilov, Hutter, "SGDR", ICLR 2017, eq. 5, without restarts.
        """
        rise = min(1.0, (step + 1) / max(1, self._config.warm_up_steps))
        return self._config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.last_step))

    def _moves(self, parameter: str) -> bool:
        return not self._config.trained_parts or parameter.startswith(self._config.trained_parts)

    def _check_batch(self) -> None:
        workers = self._gang.place.world_size
        if self._config.batch % workers:
            raise UsageError(
                f"a batch of {self._config.batch} cannot be shared equally by {workers} workers",
                hint=f"use a number of workers that divides {self._config.batch}",
            )

    def _begin_from(self, start: Path | None) -> None:
        if self._config.needs_start and start is None:
            raise UsageError(
                f"recipe {self._config.recipe} begins from an earlier model and none was given",
                hint="--start examples/models/digits/v1.onnx",
            )
        if start is not None:
            self.model.load_state_dict(read_weights(start, self.model))

    def _resume(self) -> int:
        """Take over the newest checkpoint and return its step, 0 if there is none."""
        checkpoint = self._folder.newest()
        step = checkpoint.step if checkpoint else 0
        highest, lowest = self._gang.largest(step, -step)
        if highest != -lowest:
            raise JobError(
                f"workers see different checkpoints: steps {-lowest} to {highest} in {self._folder.folder}",
                hint="put checkpoints on storage that all workers share",
            )
        if checkpoint is not None:
            self.model.load_state_dict(checkpoint.model)
            self._optimizer.load_state_dict(checkpoint.optimizer)
            log.info("resumed at step %d of %d from %s", step, self.last_step, self._folder.folder)
        return step

    def _save(self) -> None:
        """Let the first worker write; nobody goes on before the file is there."""
        if self._gang.is_first:
            state = Checkpoint(
                self._folder.run, self.step, self.model.state_dict(), self._optimizer.state_dict()
            )
            log.info("saved %s", self._folder.save(state))
        self._gang.wait_for_all()
