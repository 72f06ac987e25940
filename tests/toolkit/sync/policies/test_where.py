"""`where` tells the truth: live where storages answer, from the catalogue, with its age, where one does not."""

from __future__ import annotations

import pytest

from tests.toolkit.sync.policies.facts import DAY
from tests.toolkit.sync.policies.site import Site
from toolkit.sync.pins import documents_of, pin
from toolkit.sync.policies.catalogue import read_snapshot, root_of, write_snapshot
from toolkit.sync.policies.holds import hold
from toolkit.sync.policies.reads import record_read
from toolkit.sync.policies.tags import set_tags
from toolkit.sync.policies.where import remember, where
from toolkit.sync.task import SyncTask
from toolkit.sync.verified import RouteVerified, StoreVerified, write_verified


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    for name in ("a.dcm", "b.dcm"):
        site.write(f"studies/7/{name}", age=3)
    site.route("studies", "hot", "warm", "studies")
    site.route("archive", "warm", "cold", "studies")
    return site


def places(found):
    return [(each.path.rpartition("/")[2], each.tier) for each in found.found]


def test_a_file_and_a_folder_in_every_tier(site):
    found = where(site.policy(), b"studies/7", site.now(1))
    assert places(found) == [(f"{n}.dcm", tier) for n in "ab" for tier in ("hot", "warm", "cold")]
    assert (found.silent, found.exit_code) == ((), 0)
    one = where(site.policy(), b"studies/7/a.dcm", site.now(1))
    assert places(one) == [("a.dcm", tier) for tier in ("hot", "warm", "cold")]
    hot, warm, cold = one.found
    assert hot.version == ""
    assert len(warm.version) == len(cold.version) == 64
    assert {each.mtime_ms for each in one.found} == {site.now(-3)}
    assert not any(each.is_remembered for each in one.found)
    nothing = where(site.policy(), b"studies/8", site.now())
    assert (nothing.found, nothing.exit_code) == ((), 1)


def test_a_version_is_of_what_a_route_brought_not_of_what_was_changed_since(site):
    site.write("studies/7/a.dcm", b"edited", tier="warm")
    _, warm, _ = where(site.policy(), b"studies/7/a.dcm", site.now()).found
    assert (warm.size, warm.version) == (6, "")


def test_who_holds_pins_tags_and_read_it(site):
    task = SyncTask(
        route="studies", source=site.storages["hot"], targets=(site.storages["warm"],), path="studies"
    )
    pin(task, site.storages["warm"], "gang-1")
    hold(site.storages.values(), b"studies/7", note="jane: case 7", now_ms=site.now())
    record_read(documents_of(site.storages["warm"]), "studies/7", site.now(-1))
    set_tags(documents_of(site.storages["warm"]), b"studies", {"court": "yes"})
    hot, warm, cold = where(site.policy(), b"studies/7/a.dcm", site.now()).found
    assert all("jane: case 7" in each.held for each in (hot, warm, cold))
    assert (hot.pinned, warm.pinned, cold.pinned) == ("", "studies/gang-1", "")
    assert {each.read_ms for each in (hot, warm, cold)} == {site.now(-1)}
    assert cold.tags == {"court": "yes"}


def test_when_it_was_verified(site):
    warm_documents, cold_documents = (documents_of(site.storages[tier]) for tier in ("warm", "cold"))
    head = warm_documents.read_ref("routes/studies/head")
    note = RouteVerified(digest=head.digest, sequence=1, verified_ms=site.now(1), files=2, total_bytes=40_000)
    write_verified(warm_documents, "verified/routes/studies", note)
    write_verified(cold_documents, "verified/store", StoreVerified(full_ms=site.now(2)))
    _, warm, cold = where(site.policy(), b"studies/7/a.dcm", site.now(3)).found
    assert (warm.verified_ms, cold.verified_ms) == (site.now(1), site.now(2))
    other = RouteVerified(digest="0" * 64, sequence=1, verified_ms=site.now(1), files=2, total_bytes=40_000)
    write_verified(warm_documents, "verified/routes/studies", other)
    write_verified(cold_documents, "verified/store", StoreVerified(full_ms=site.now(2), full_damaged=1))
    _, warm, cold = where(site.policy(), b"studies/7/a.dcm", site.now(3)).found
    assert (warm.verified_ms, cold.verified_ms) == (0, 0)


def test_the_catalogue_answers_for_a_storage_that_does_not(site):
    policy = site.policy()
    remember(policy, site.now(1))
    (site.root / "cold").rename(site.root / "away")
    found = where(policy, b"studies/7/a.dcm", site.now(4))
    cold = found.found[-1]
    assert (cold.tier, cold.is_remembered, cold.seen_ms, len(cold.version)) == ("cold", True, site.now(1), 64)
    (silent,) = found.silent
    assert (silent.tier, silent.seen_ms, found.exit_code) == ("cold", site.now(1), 0)
    (site.root / "hot").rename(site.root / "away-too")
    found = where(policy, b"studies/7/a.dcm", site.now(4))
    assert [(each.tier, each.is_remembered) for each in found.found] == [
        ("hot", True),
        ("warm", False),
        ("cold", True),
    ]


def test_without_a_catalogue_it_says_that_nobody_knows(site):
    (site.root / "cold").rename(site.root / "away")
    found = where(site.policy(), b"studies/7/a.dcm", site.now())
    assert [each.tier for each in found.found] == ["hot", "warm"]
    assert (found.silent[0].seen_ms, found.exit_code) == (0, 5)


@pytest.mark.parametrize("damage", ["flipped", "another", "cut"])
def test_a_damaged_catalogue_counts_as_none(site, damage):
    (site.root / "warm/studies/7/b.dcm").unlink()
    remember(site.policy(), site.now(1))
    for tier in ("hot", "warm"):
        parts = {
            of: next(
                path
                for path in (site.root / tier / ".tiers" / root_of(site.storages[of].url)).iterdir()
                if path.name != "head"
            )
            for of in ("warm", "cold")
        }
        data = bytearray(parts["cold"].read_bytes())
        data[len(data) // 2] ^= 1
        wrong = {"flipped": bytes(data), "another": parts["warm"].read_bytes(), "cut": bytes(data[:-9])}
        parts["cold"].write_bytes(wrong[damage])
    documents = [documents_of(site.storages[tier]) for tier in ("hot", "warm")]
    assert read_snapshot(documents, site.storages["cold"].url) is None
    assert read_snapshot(documents, site.storages["warm"].url) is not None


def test_since_when_something_is_there_is_remembered(site):
    documents = documents_of(site.storages["warm"])
    seen = remember(site.policy(), site.now())[0]
    (hot,) = [look for look in seen.looks if look.terms.tier == "hot"]
    earlier = [item._replace(since_ms=item.since_ms - 5 * DAY) for item in hot.items]
    write_snapshot(documents, "hot", hot.url, earlier, site.now(1))
    (site.root / "hot/studies/7/a.dcm").chmod(0o600)  # which moves the time by which we know an arrival
    found = where(site.policy(), b"studies/7/a.dcm", site.now(2)).found
    assert found[0].since_ms == earlier[0].since_ms
    site.write("studies/7/a.dcm", b"another version")
    found = where(site.policy(), b"studies/7/a.dcm", site.now(2)).found
    assert found[0].since_ms > hot.items[0].since_ms - DAY


def test_old_parts_of_a_catalogue_are_cleared_away(site):
    remember(site.policy(), site.now(1))
    site.write("studies/7/c.dcm")
    remember(site.policy(), site.now(2))
    folder = site.root / "hot/.tiers" / root_of(site.storages["hot"].url)
    assert len(list(folder.iterdir())) == 2
    (_, items) = read_snapshot([documents_of(site.storages["hot"])], site.storages["hot"].url)
    assert [item.path for item in items] == [b"studies/7/a.dcm", b"studies/7/b.dcm", b"studies/7/c.dcm"]
