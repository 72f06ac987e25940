"""A worker finds its place in the environment."""

import pytest

from cloud_jobs.gang import Place, place_of
from toolkit.errors import UsageError
from toolkit.jobs.plan import gang_environment


def test_a_worker_without_a_gang_is_alone():
    assert place_of({"HOME": "/"}) == Place(rank=0, world_size=1)


def test_a_place_is_what_the_plan_says():
    assert place_of(gang_environment(1, 2, 4711)) == Place(1, 2, 0, "127.0.0.1", 4711)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": ""}, "RANK='' is not a number"),
        ({"MASTER_PORT": "tcp"}, "MASTER_PORT='tcp' is not a number"),
        ({"RANK": "2"}, "RANK=2 is not below WORLD_SIZE=2"),
    ],
)
def test_a_place_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        place_of(gang_environment(1, 2, 4711) | changes)


def test_a_gang_of_one_votes_with_itself(gang):
    assert gang.largest(3, -2) == (3, -2)
    assert gang.total(0.5) == (0.5,)
    gang.wait_for_all()
    assert gang.is_first
