"""tiers.lock: each tag gets the digest that its registry gives, keeps it, and loses it when nothing names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.errors import RegistryError, RenderError
from toolkit.images.lock import lock_images, write_lock
from toolkit.images.registry import Registries, Resolved
from toolkit.images.used import used_images
from toolkit.render.images import images_of, unpinned_on_edge
from toolkit.render.lock import Lock, read_lock
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject
from toolkit.topology.load import load, load_texts

DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate("abcdef", 1)}
OTHER = "sha256:" + "f" * 64
REPOSITORY = Path(__file__).resolve().parents[3]
SITES = [REPOSITORY / "tiers.yaml", *sorted(REPOSITORY.glob("tests/golden/*/tiers.yaml"))]


@pytest.fixture
def used(hospital_text):
    """Give `used(text)`: the images of the hospital, with replacements in its text."""

    def images(lock: Lock | None = None, **changes: str):
        text = hospital_text
        for before, after in changes.items():
            text = text.replace(f"registry.example/{before}", after)
        loaded = load_texts({"tiers.yaml": text})
        return used_images(loaded, render(loaded.topology, lock or Lock()), lock or Lock())

    return images


def by_name(used):
    return {each.image: each for each in used}


def test_each_image_says_its_key_who_runs_it_and_where(used):
    found = by_name(used())["registry.example/tiers-edge:1.0"]
    assert [key.path for key in found.keys] == ["images.edge"]
    assert found.edge
    assert {"linux/arm64"} <= set(found.platforms)
    assert "DaemonSet tiers-edge-ultrasound-jetson-orin-nx" in found.objects
    assert not by_name(used())["registry.example/seg3d:2.1"].edge
    assert [key.path for key in by_name(used())["registry.example/seg3d:2.1"].keys] == ["jobs.seg3d.image"]


@pytest.mark.parametrize("case", SITES, ids=lambda case: case.parent.name)
def test_every_image_of_every_object_is_pinned_when_the_lock_has_them_all(case):
    loaded = load([case])
    open_ = used_images(loaded, render(loaded.topology), Lock())
    lock = Lock(images={each.image: OTHER for each in open_})
    objects = render(loaded.topology, lock)
    assert {each.tagged for each in images_of(objects)} == set(lock.images) != set()
    for each in images_of(objects):
        assert each.digest == OTHER, f"{each.kind} {each.name} names {each.image}"
    assert unpinned_on_edge(objects) == ()
    assert {(each.digest, each.locked) for each in used_images(loaded, objects, lock)} == {(OTHER, True)}


def test_an_upgrade_names_a_repository_and_pins_it_itself():
    body = {
        "kind": "NodeUpgradeJob",
        "metadata": {"name": "a"},
        "spec": {"image": "kubeedge/installation-package"},
    }
    assert list(images_of([RenderedObject("main", "tiers.edge", body)])) == []


def test_new_images_are_asked_for_and_old_rows_stay(used):
    images = used()
    asked: list[str] = []

    def resolve(reference):
        asked.append(reference.repository)
        return Resolved(OTHER)

    old = Lock(
        images={"registry.example/tiers-edge:1.0": DIGESTS["a"], "registry.example/gone:1": DIGESTS["b"]}
    )
    made = lock_images(images, old, resolve, update=False)
    assert "tiers-edge" not in asked
    rows = {row.image: (row.outcome, row.digest, row.before) for row in made.rows}
    assert rows["registry.example/tiers-edge:1.0"] == ("kept", DIGESTS["a"], "")
    assert rows["registry.example/tiers-jobs:1.0"] == ("added", OTHER, "")
    assert rows["registry.example/gone:1"] == ("removed", DIGESTS["b"], "")
    assert set(made.lock.images) == {each.image for each in images}
    again = lock_images(images, made.lock, resolve, update=True)
    assert {row.image: row.outcome for row in again.rows}["registry.example/tiers-edge:1.0"] == "updated"
    assert len(asked) == 2 * len(images) - 1
    assert lock_images(images, again.lock, resolve, update=False).changed == ()


def test_an_image_with_a_digest_in_its_name_needs_no_row(used):
    written = "registry.example/tiers-edge:1.0@" + OTHER
    images = used(**{"tiers-edge:1.0": written})
    assert (by_name(images)[written].digest, by_name(images)[written].locked) == (OTHER, False)
    assert written not in lock_images(images, Lock(), lambda _: Resolved(OTHER), update=True).lock.images


def test_an_image_for_other_machines_is_refused_before_anything_is_written(used):
    def resolve(reference):
        return Resolved(OTHER, ("linux/amd64",) if reference.repository == "tiers-edge" else ())

    with pytest.raises(RegistryError, match="made for linux/amd64 and not for linux/arm64"):
        lock_images(used(), Lock(), resolve, update=False)


def test_of_several_that_fail_each_is_named(used):
    def resolve(reference):
        raise RegistryError(f"no {reference.repository}", hint="push it")

    with pytest.raises(RegistryError, match=r"nor was it possible for .*tiers-edge:1\.0.*") as refused:
        lock_images(used(), Lock(), resolve, update=False)
    assert refused.value.hint == "push it"


def test_what_is_written_is_read_back_and_the_old_file_outlives_a_full_disk(tmp_path):
    path = tmp_path / "tiers.lock"
    lock = Lock(images={"b:1": DIGESTS["b"], "a:1": DIGESTS["a"]})
    write_lock(path, lock)
    assert read_lock(path) == lock
    assert list(json.loads(path.read_text())["images"]) == ["a:1", "b:1"]
    with pytest.raises(RenderError, match="cannot write"):
        write_lock(tmp_path / "not there" / "tiers.lock", lock)


def test_the_lock_of_a_real_registry(start_registry, used):
    registry = start_registry()
    machines = ("linux/amd64", "linux/arm64")
    pushed = {
        f"{registry.host}/{name}": registry.push(name, name, machines)
        for name in ("tiers-edge:1.0", "tiers-jobs:1.0", "seg3d:2.1")
    }
    images = [
        each for each in used(**{name.partition("/")[2]: name for name in pushed}) if each.image in pushed
    ]
    resolve = Registries(lambda _: None).resolve
    made = lock_images(images, Lock(), resolve, update=False)
    assert made.lock.images == pushed
    moved = registry.push("tiers-edge:1.0", "another", machines)
    assert lock_images(images, made.lock, resolve, update=False).changed == ()
    (row,) = lock_images(images, made.lock, resolve, update=True).changed
    assert (row.outcome, row.digest, row.before) == ("updated", moved, pushed[row.image])
