"""What a queue deserves and does not use others borrow and give back; a guarantee nobody borrows."""

from __future__ import annotations

import pytest

from tests.toolkit.cluster.gangs import ATTEMPTS_OF_ONE_END, NO_SERVERS, Gangs, job
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.prune import delete, seen
from toolkit.render.scheduler import scheduler_config


@pytest.fixture
def gangs(wait_until):
    return lambda site: Gangs(site, wait_until)


def two_queues(**care) -> dict:
    """Give the queue research of the hospital (32 deserved) and one beside it, with a gang that borrows and one that
    wants what is its own."""
    queues = {"care": {"tier": "hot", "deserved": {"gpus": 16}, "capability": {"gpus": 48}, **care}}
    jobs = {"borrower": job(5, queue="care"), "owner": job(4)}
    return {**NO_SERVERS, "queues": {"research": {"guarantee": None}, **queues}, "jobs": jobs}


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["priority", "queued"])
def test_a_queue_lends_what_it_deserves_and_takes_it_back(site, gangs, topology, plane, wait_until, profile):
    """Care deserves 16 GPUs and borrows 24. Research comes for its 32: one machine is free, three are taken back."""
    running = gangs(site(two_queues()))
    with plane.scheduled_by(scheduler_config(topology({"scheduler": {"profile": profile}}))):
        running.apply()
        running.submit("borrower")
        running.wait_running("borrower", 5)
        running.submit("owner")
        running.wait_running("owner", 4)
        running.wait_waiting("borrower")
        wait_until(lambda: running.retries("borrower") >= 1, "the attempt is counted")
        assert running.retries("borrower") <= ATTEMPTS_OF_ONE_END
        running.delete("owner")
        running.wait_running("borrower", 5)


@pytest.mark.slow
def test_who_may_end_nobody_takes_nothing_back(site, gangs):
    """Volcano's reclaim asks the PriorityClass: this is what W0802 warns of, and why the lowest may preempt here."""
    never = {"priorities": {"batch": {"value": 1000, "preempts": False}}}
    running = gangs(site({**two_queues(), **never}))
    running.apply()
    running.submit("borrower")
    running.wait_running("borrower", 5)
    running.submit("owner")
    running.wait_waiting("owner")
    assert (len(running.placed("borrower")), running.retries("borrower")) == (5, 0)


@pytest.mark.slow
def test_what_a_queue_deserves_is_not_taken(site, gangs):
    running = gangs(site(two_queues(deserved={"gpus": 40})))
    running.apply()
    running.submit("borrower")
    running.wait_running("borrower", 5)
    running.submit("owner")
    running.wait_waiting("owner")
    assert (len(running.placed("borrower")), running.retries("borrower")) == (5, 0)


@pytest.mark.slow
def test_a_queue_that_is_not_reclaimable_keeps_what_it_borrowed(site, gangs):
    running = gangs(site(two_queues(reclaimable=False)))
    running.apply()
    running.submit("borrower")
    running.wait_running("borrower", 5)
    running.submit("owner")
    running.wait_waiting("owner")
    assert (len(running.placed("borrower")), running.retries("borrower")) == (5, 0)


def test_a_guarantee_is_kept_free_for_its_queue(site, gangs):
    """The tier has 56 GPUs; research keeps 16, so care may use 40 of them though six machines are free."""
    changes = two_queues()
    changes["queues"]["research"] = {"guarantee": {"gpus": 16}}
    changes["jobs"] |= {"greedy": job(1, queue="care")}
    running = gangs(site(changes))
    running.apply()
    running.submit("borrower")
    running.wait_running("borrower", 5)
    running.submit("greedy")
    running.wait_waiting("greedy")
    running.delete("borrower")
    running.wait_running("greedy", 1)


@pytest.mark.slow
@pytest.mark.parametrize(("more", "taken"), [({}, False), ({"memory": "6TiB"}, True)])
def test_one_resource_that_is_not_used_up_lets_a_queue_take_back_too_many_of_another(
    site, gangs, more, taken
):
    """Research deserves one machine's GPUs and wants two machines. Why only what tiers.yaml names is rendered."""
    changes = two_queues()
    changes["queues"]["research"]["deserved"] = {"gpus": 8, **more}
    changes["jobs"]["owner"] = job(2)
    running = gangs(site(changes))
    running.apply()
    running.submit("borrower")
    running.wait_running("borrower", 5)
    running.submit("owner")
    if taken:
        running.wait_running("owner", 2)
    else:
        running.wait_waiting("owner")
        assert len(running.placed("borrower")) == 5


@pytest.mark.slow
def test_queues_below_a_queue_share_its_part(site, gangs, plane):
    """Apply makes the parent first; a gang runs in a queue below, no further than that queue's own capability."""
    queues = {
        "care": {"tier": "hot", "parent": "research", "deserved": {"gpus": 16}},
        "apprentices": {
            "tier": "hot", "parent": "research", "deserved": {"gpus": 8}, "capability": {"gpus": 16},
        },
    }  # fmt: skip
    jobs = {
        "first": job(2, queue="apprentices"), "second": job(1, queue="apprentices"), "third": job(3, queue="care"),
        "seg3d": None, "digits": None,
    }  # fmt: skip
    nested = site({**NO_SERVERS, "queues": queues, "jobs": jobs})
    running = gangs(nested)
    config = scheduler_config(nested.topology)
    assert "enableHierarchy: true" in config
    with plane.scheduled_by(config):
        running.apply()
        running.submit("first")
        running.wait_running("first", 2)
        running.submit("second")
        running.submit("third")
        running.wait_running("third", 3)
        running.wait_waiting("second")
        running.delete("first")
        running.wait_running("second", 1)
        running.delete("second")
        running.delete("third")
    place = f"/apis/scheduling.volcano.sh/v1beta1/queues?labelSelector=tiers.dev/topology={nested.name}"
    queues = plane.api.items(place)
    kind = ("scheduling.volcano.sh/v1beta1", "Queue", "")
    doomed = [seen((*kind, each["metadata"]["name"]), each) for each in queues]
    gone = delete(Kinds(nested.connection), doomed)
    assert [each.message for each in gone] == ["", "", ""], "a queue goes after those below it"
    assert plane.api.items(place) == []
