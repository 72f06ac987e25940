"""A checkpoint is whole or not there, belongs to its run, and the two newest stay."""

import pytest
import torch

from cloud_jobs.checkpoint import Checkpoint, CheckpointFolder
from toolkit.errors import IntegrityError


def state(step, run="run"):
    return Checkpoint(
        run, step, {"w": torch.tensor([float(step)])}, {"state": {0: {"step": torch.tensor(1.0)}}}
    )


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "checkpoints", "run")


def test_a_folder_that_is_not_there_has_none(folder):
    assert folder.newest() is None


def test_the_newest_is_the_one_with_the_highest_step(folder):
    for step in (999, 1000, 20):
        folder.save(state(step))
    found = folder.newest()
    assert (found.step, found.model["w"].item()) == (1000, 1000.0)
    assert found.optimizer["state"][0]["step"] == 1.0
    assert sorted(path.name for path in folder.folder.iterdir()) == ["step-000000999.pt", "step-000001000.pt"]


def test_half_a_file_and_other_files_are_left_alone(folder):
    folder.save(state(5))
    (folder.folder / ".step-000000006.pt.77.part").write_bytes(b"half")
    (folder.folder / "notes.txt").write_text("mine")
    folder.save(state(7))
    folder.save(state(8))
    assert folder.newest().step == 8
    assert (folder.folder / "notes.txt").exists()


def test_a_damaged_one_is_named_and_the_one_before_it_still_serves(folder):
    folder.save(state(5))
    path = folder.save(state(6))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match=r"step-000000006\.pt cannot be read") as caught:
        folder.newest()
    assert caught.value.hint.startswith(f"rm {path}")
    path.unlink()
    assert folder.newest().step == 5


def test_code_in_a_checkpoint_is_not_run(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder.folder.mkdir()
    torch.save(
        {"format": 1, "run": "run", "step": 1, "model": Evil(), "optimizer": {}},
        folder.folder / "step-000000001.pt",
    )
    with pytest.raises(IntegrityError, match="cannot be read"):
        folder.newest()
    assert not (tmp_path / "ran").exists()


def test_another_run_cannot_go_on_from_it(folder):
    folder.save(state(5, run="other"))
    with pytest.raises(IntegrityError, match=r"belongs to another run \(other\), this is run"):
        folder.newest()
