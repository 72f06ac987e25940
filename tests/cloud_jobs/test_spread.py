"""A worker with several GPUs becomes several processes, and pods are counted as processes."""

import pytest

from cloud_jobs.spread import environments, processes_here
from toolkit.errors import UsageError
from toolkit.jobs.plan import gang_environment


def test_two_workers_of_four_gpus_are_eight_processes():
    seats = [each for rank in range(2) for each in environments(gang_environment(rank, 2, 4711), 4)]
    assert [each["RANK"] for each in seats] == [str(rank) for rank in range(8)]
    assert [each["LOCAL_RANK"] for each in seats] == ["0", "1", "2", "3"] * 2
    assert {each["WORLD_SIZE"] for each in seats} == {"8"}
    assert {each["MASTER_PORT"] for each in seats} == {"4711"}


def test_under_torchrun_nothing_is_started():
    assert processes_here(0, {"LOCAL_RANK": "3"}) == 1
    assert processes_here(4, {}) == 4
    assert processes_here(0, {}) >= 1


def test_processes_that_could_not_meet_are_refused():
    with pytest.raises(UsageError, match="2 processes need MASTER_ADDR and MASTER_PORT") as caught:
        environments({}, 2)
    assert "torchrun --nproc-per-node 2" in caught.value.hint
