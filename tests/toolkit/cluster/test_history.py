"""History and rollback on a real API server: what was applied comes back, and nothing that was tampered with."""

from __future__ import annotations

import base64
import gzip

import pytest

from toolkit.cluster.apply import Outcome, apply
from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.carry_out import carry_out
from toolkit.cluster.history import KEPT, Author, remember, revisions, stored
from toolkit.cluster.lock import Claim
from toolkit.cluster.revision import PART_BYTES, compressed, document_of
from toolkit.cluster.rollback import find_rollback
from toolkit.errors import ClusterError, IntegrityError, UsageError
from toolkit.render.rendered import RenderedObject

ME = Author("nurse@ward", "0123abc")


def own(site) -> ApplySet:
    return ApplySet(site.name, site.name)


def applied(site, author: Author = ME, objects=None):
    objects = objects or site.objects
    done = apply(site.connection, site.name, objects)
    return remember(site.connection, own(site), objects, done, author)


def history(site):
    return revisions(site.connection, own(site))


def place(site, number: int, part: int = 1) -> str:
    name = f"tiers.{site.name}.revision-{number}" + (f".part-{part}" if part > 1 else "")
    return f"/api/v1/namespaces/{site.name}/configmaps/{name}"


def rewrite(site, number: int, held: bytes | None = None, digest: str = "", parts: str = "") -> None:
    """Put a revision there that somebody has changed; its data cannot be changed in place."""
    body = site.api.get(place(site, number))
    site.api.delete(place(site, number))
    metadata = body["metadata"]
    for name in ("uid", "resourceVersion", "managedFields", "creationTimestamp"):
        del metadata[name]
    metadata["annotations"] |= {"tiers.dev/digest": digest} if digest else {}
    metadata["annotations"] |= {"tiers.dev/parts": parts} if parts else {}
    if held is not None:
        body["binaryData"]["objects"] = base64.b64encode(held).decode()
    site.api.create(place(site, number).rpartition("/")[0], body)


def test_each_apply_that_changes_something_is_a_revision(two_pools, one_pool):
    site = two_pools()
    first = applied(site)
    assert (first.number, first.outcome, first.counts) == (1, "complete", "11 created")
    assert (first.user, first.commit, first.rollback_of) == ("nurse@ward", "0123abc", 0)
    begin = site.requests()
    assert applied(site) is None
    assert site.requests() == begin, "nothing was written, neither objects nor a revision"
    assert applied(one_pool(site)).counts == "3 pruned"
    assert [each.number for each in history(site)] == [1, 2]


def test_rollback_brings_back_values_and_objects(two_pools, one_pool):
    site = two_pools()
    applied(site)
    smaller = one_pool(site)
    changed = smaller.topology.model_copy(
        update={"priorities": {**smaller.topology.priorities, "batch": 1000}}
    )
    assert changed.priorities["batch"] == 1000
    before = site.api.get(f"/apis/scheduling.volcano.sh/v1beta1/queues/{site.name}-research")["spec"]
    other = [
        RenderedObject(each.cluster, each.source, {**each.body, "spec": {**each.body["spec"], "weight": 7}})
        if each.kind == "Queue"
        else each
        for each in smaller.objects
    ]
    assert applied(smaller, objects=other).counts == "1 changed, 3 pruned"

    back = find_rollback(site.connection, own(site))
    assert back.revision.number == 1
    done = carry_out(site.connection, site.name, back.planned, Claim("nurse@ward"))
    assert done.failed == ()
    assert (done.count(Outcome.CREATED), done.count(Outcome.CHANGED)) == (3, 1)
    assert site.diff().differences == ()
    assert site.api.get(f"/apis/scheduling.volcano.sh/v1beta1/queues/{site.name}-research")["spec"] == before
    told = remember(
        site.connection, own(site), back.planned.plan.rendered(), done, Author("nurse@ward", rollback_of=1)
    )
    assert (told.number, told.rollback_of) == (3, 1)


def test_an_interrupted_apply_gets_its_revision_from_the_next_one(two_pools):
    site = two_pools()
    apply(site.connection, site.name, site.objects)
    found = applied(site)
    assert (found.number, found.counts) == (1, "nothing to do")


def test_a_partial_apply_is_partial_and_not_gone_back_to(two_pools, one_pool, without_queue):
    site = two_pools()
    applied(site)
    path = f"/api/v1/namespaces/{site.name}/configmaps/tiers-edge-wards-jetson-orin-nx"
    site.api.merge(path, {"data": {"config.json": "{}"}}, manager="kubectl-edit")
    site.api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{site.name}-batch")
    partial = applied(one_pool(site))
    assert partial.outcome == "partial"
    assert partial.counts.startswith("1 created, ")
    site.api.delete(path)
    newest = applied(without_queue(site))
    assert newest.complete
    assert len({each.digest for each in history(site)}) == 3
    assert find_rollback(site.connection, own(site)).revision.number == 1


def test_the_last_ones_stay(two_pools):
    site = two_pools()
    site.apply()
    for weight in range(1, KEPT + 4):
        metadata = {"name": "w", "namespace": site.name, "labels": {"tiers.dev/topology": site.name}}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"weight": str(weight)},
        }
        applied(site, objects=[*site.objects, RenderedObject("main", "test", body)])
    assert [each.number for each in history(site)] == list(range(4, KEPT + 4))
    assert site.api.gone(place(site, 3))


def test_a_large_revision_is_cut_into_parts(two_pools):
    site = two_pools()
    import random

    text = base64.b64encode(random.Random(7).randbytes(900_000)).decode()  # compresses to what it was before
    metadata = {"name": "large", "namespace": site.name, "labels": {"tiers.dev/topology": site.name}}
    bodies = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**metadata, "name": f"large-{half}"},
            "data": {"a": part},
        }
        for half, part in enumerate((text[:600_000], text[600_000:]))
    ]
    objects = [*site.objects, *(RenderedObject("main", "test", body) for body in bodies)]
    made = applied(site, objects=objects)
    assert made.parts == 2
    assert len(base64.b64decode(site.api.get(place(site, 1))["binaryData"]["objects"])) == PART_BYTES
    back = stored(site.connection, own(site), made)
    wanted = [own(site).member(each) for each in sorted(objects, key=lambda one: one.order)]
    assert [each.body for each in back] == [each.body for each in wanted]
    site.api.delete(place(site, 1, 2))
    with pytest.raises(IntegrityError, match="cut off"):
        stored(site.connection, own(site), made)


def test_what_does_not_exist_names_what_does(two_pools):
    site = two_pools()
    applied(site)
    with pytest.raises(UsageError, match=r"no revision 7 \(there are: 1\)") as caught:
        find_rollback(site.connection, own(site), 7)
    assert (caught.value.exit_code, caught.value.hint) == (2, "tiers history")
    with pytest.raises(UsageError, match="no complete revision before"):
        find_rollback(site.connection, own(site))


def test_what_was_tampered_with_is_refused(two_pools):
    site = two_pools()
    applied(site)
    held = base64.b64decode(site.api.get(place(site, 1))["binaryData"]["objects"])
    document = gzip.decompress(held)
    cases = {
        "digest": {"held": gzip.compress(document.replace(b"research", b"reseArch"))},
        "digest does not": {"digest": "0" * 64},
        "decompressed": {"held": b"no gzip"},
        "cut off": {"held": held[:-9]},
        "parts": {"parts": "99"},
    }
    for said, change in cases.items():
        whole = {"held": held, "digest": history(site)[0].digest if said != "digest does not" else ""}
        rewrite(site, 1, **{**whole, **change})
        with pytest.raises(IntegrityError, match=said) as caught:
            find_rollback(site.connection, own(site), 1)
        assert caught.value.exit_code == 6
        assert "tiers history" in caught.value.hint
        from toolkit.wire.digest import digest_of

        rewrite(site, 1, held=held, digest=digest_of(document), parts="1")
    assert find_rollback(site.connection, own(site), 1).planned.plan.work == 0


def test_a_guest_may_not_read_the_history(two_pools):
    from toolkit.cluster.connect import connect

    site = two_pools()
    applied(site)
    guest = connect(site.topology, "main", site.plane.write_kubeconfig("guest"))
    with pytest.raises(ClusterError, match="forbidden"):
        revisions(guest, own(site))


def test_a_secret_is_never_written_into_a_revision(two_pools):
    site = two_pools()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": site.name}}
    objects = [*site.objects, RenderedObject("main", "test", secret)]
    with pytest.raises(IntegrityError, match="Secret"):
        applied(site, objects=objects)
    assert history(site) == ()
    assert compressed(document_of(site.name, site.objects))
