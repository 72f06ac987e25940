"""A history that was saved by a backup comes back in a real API server, and can be rolled back to."""

from __future__ import annotations

import json

from toolkit.backup.gather_clusters import revision_items
from toolkit.cluster.apply import apply
from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.history import Author, remember, revisions, stored


def test_a_history_that_was_lost_comes_back_from_its_files(two_pools, one_pool):
    site = two_pools()
    own = ApplySet(site.name, site.name)
    for objects in (site.objects, one_pool(site).objects):
        remember(site.connection, own, objects, apply(site.connection, site.name, objects), Author("me"))
    before = revisions(site.connection, own)
    first = stored(site.connection, own, before[0])
    files = {item.path: item.read() for item in revision_items(site.connection, own)}
    assert [path.rpartition("/")[2] for path in files] == [
        f"tiers.{site.name}.revision-{number}.json" for number in (1, 2)
    ]
    place = f"/api/v1/namespaces/{site.name}/configmaps"
    for number in (1, 2):
        site.api.delete(f"{place}/tiers.{site.name}.revision-{number}")
    assert revisions(site.connection, own) == ()
    for data in files.values():
        site.api.create(place, json.loads(data))
    after = revisions(site.connection, own)
    assert [(each.number, each.time, each.digest, each.counts) for each in after] == [
        (each.number, each.time, each.digest, each.counts) for each in before
    ]
    assert stored(site.connection, own, after[0]) == first
