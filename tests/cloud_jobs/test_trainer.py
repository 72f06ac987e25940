"""A run that was stopped and resumed ends with the very same weights; and what a recipe freezes stays as it was."""

import logging
from dataclasses import replace
from itertools import chain

import pytest
import torch

from cloud_jobs.checkpoint import CheckpointFolder
from cloud_jobs.export import export
from cloud_jobs.interrupt import Interrupt
from cloud_jobs.trainer import Pace, Trainer
from cloud_jobs.weights import weights_digest
from toolkit.errors import UsageError


class InterruptAt(Interrupt):
    """Asks to leave after some looks, which are one per step."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def asked(self):
        self.looks -= 1
        return self.looks < 0


class DyingAt(InterruptAt):
    """Dies at a look."""

    @property
    def asked(self):
        self.looks -= 1
        return 1 // self.looks > 1


@pytest.fixture
def trainer(small, gang, tmp_path):
    """Give `trainer(folder, start=None, **changes)`; the same folder resumes."""

    def make(folder="a", *, start=None, seed=1, **changes):
        config = replace(small, **changes)
        return Trainer(config, gang, CheckpointFolder(tmp_path / folder, "run"), seed=seed, start=start)

    return make


def test_resumed_after_each_step_equals_uninterrupted(trainer):
    whole = trainer("whole").run(Interrupt(), Pace())
    steps = []
    while True:
        part = trainer("parts").run(InterruptAt(0), Pace())
        steps.append(part.resumed_at_step)
        if not part.interrupted:
            break
    assert steps == list(range(12))
    assert (part.step, whole.step) == (12, 12)
    assert weights_digest(part.model) == weights_digest(whole.model)


def test_a_run_that_was_killed_goes_on_from_the_last_checkpoint(trainer):
    whole = trainer("whole").run(Interrupt(), Pace())
    killed = trainer("killed")

    with pytest.raises(ZeroDivisionError):
        killed.run(DyingAt(8), Pace(checkpoint_steps=3))
    resumed = trainer("killed").run(Interrupt(), Pace())
    assert resumed.resumed_at_step == 6
    assert weights_digest(resumed.model) == weights_digest(whole.model)


def test_the_clock_saves_too(trainer, tmp_path):
    trainer("clock").run(Interrupt(), Pace(checkpoint_seconds=0.0))
    assert len(list((tmp_path / "clock").iterdir())) == 2


def test_seed_and_nothing_else_decides(trainer):
    first, again, other = (trainer(name, seed=seed) for name, seed in (("1", 1), ("2", 1), ("3", 2)))
    digests = [weights_digest(each.run(Interrupt(), Pace()).model) for each in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_finished_run_is_finished(trainer):
    done = trainer().run(Interrupt(), Pace())
    again = trainer().run(Interrupt(), Pace())
    assert (again.resumed_at_step, again.interrupted) == (12, False)
    assert weights_digest(done.model) == weights_digest(again.model)


def test_training_learns_and_the_score_is_a_mean(trainer):
    one = trainer(epochs=40)
    before = one.evaluate()
    one.run(Interrupt(), Pace())
    after = one.evaluate()
    assert before.held_out == after.held_out == 8
    assert after.loss < before.loss / 10
    assert after.score > 0.8


def test_a_frozen_body_keeps_every_bit_and_the_head_moves(trainer, tmp_path):
    base = trainer("base").run(Interrupt(), Pace()).model
    start = tmp_path / "start.onnx"
    start.write_bytes(export(base, torch.rand(2, 1, 8, 8)))
    tuned = (
        trainer("tuned", start=start, trained_parts=("head.",), needs_start=True)
        .run(Interrupt(), Pace())
        .model
    )
    for name, before in base.state_dict().items():
        assert torch.equal(before, tuned.state_dict()[name]) == (not name.startswith("head.")), name


def test_each_sample_of_an_epoch_is_used_once_whatever_the_number_of_workers(small, gang, tmp_path):
    def shares(rank, workers):
        seat = replace(gang.place, rank=rank, world_size=workers)
        one = Trainer(
            replace(small, augment=None), gang, CheckpointFolder(tmp_path, "run"), seed=1, start=None
        )
        one._gang = type("Seat", (), {"place": seat, "device": gang.device})()
        return [[each.numpy().tobytes() for each in one._share(step)[0]] for step in range(3)]

    alone, halves = shares(0, 1), [shares(rank, 2) for rank in range(2)]
    for step in range(3):
        assert sorted(alone[step]) == sorted(halves[0][step] + halves[1][step])
    assert set(chain(*alone)) == {each.numpy().tobytes() for each in small.data().samples}


def test_a_batch_must_be_shared_equally(small, gang, tmp_path):
    gang.place = replace(gang.place, world_size=3)
    with pytest.raises(UsageError, match="batch of 8 cannot be shared equally by 3 workers"):
        Trainer(small, gang, CheckpointFolder(tmp_path, "run"), seed=1, start=None)


def test_a_recipe_that_needs_a_start_says_so(trainer):
    with pytest.raises(UsageError, match="begins from an earlier model and none was given") as caught:
        trainer(needs_start=True)
    assert caught.value.hint == "--start examples/models/digits/v1.onnx"


def test_no_warning_is_printed(trainer, capfd, caplog):
    """PyTorch's gloo and DDP have things to say to standard error (strides of gradients, torn down groups)."""
    caplog.set_level(logging.WARNING)
    trainer().run(Interrupt(), Pace())
    assert capfd.readouterr().err == ""
    assert not caplog.records
