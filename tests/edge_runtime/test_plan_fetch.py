"""A plan of another machine is taken when everything about it is right; if anything is not, this one builds its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.engine.adopt import Wanted
from edge_runtime.engine.plan import FETCHED_FORMAT, START, PlanKey, PlanRefusedError, Plans, head_of
from edge_runtime.folders import Folders
from edge_runtime.opening import Loadable
from edge_runtime.part import Part
from edge_runtime.plan_fetch import ANNOUNCED_SECONDS, STILL_SECONDS, PlanBench, PlanFetching
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store, Tally
from tests.edge_runtime.conftest import MODEL, Keys, Made
from tests.edge_runtime.engine.test_plan import KEY, PLAN, header_of
from toolkit.errors import EngineError, TiersError
from toolkit.protocol.exchange import Finished, GivenUp
from toolkit.protocol.installation import Needs
from toolkit.protocol.offer import Ability
from toolkit.wire.chunk import open_chunk
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.manifest import Manifest
from toolkit.wire.plan import PLAN_FILE, PlanFor, PlanMachine

GIB = 1024**3
MACHINE = PlanMachine(**{name: getattr(KEY, name) for name in PlanMachine.__struct_fields__})


class Inline:
    """A worker without a thread: what it is given is done at once."""

    def submit(self, job, done, failed) -> None:
        try:
            result = job()
        except (OSError, TiersError) as error:
            failed(error)
        else:
            done(result)


@dataclass
class Coming:
    """Chunks on their way."""

    tally: Tally = field(default_factory=Tally)


@dataclass
class Road:
    """What the depot sends: whole, nothing, or only so much."""

    store: Store
    folders: Folders
    made: dict[str, Made] = field(default_factory=dict)
    stalls: bool = False
    asked: list[str] = field(default_factory=list)
    chunks: dict[str, Coming] = field(default_factory=dict)

    def start_index(self, _model: str, artifact: str, _manifest: Manifest, done) -> None:
        self.asked.append("index")
        made = self.made.get(artifact)
        done(made.index if made else GivenUp("unknown-artifact", "the depot does not have it"))

    def start_chunks(self, model: str, artifact: str, chunks, done) -> None:
        self.asked.append("chunks")
        if self.stalls:
            self.chunks[model] = Coming()
            return
        made = self.made[artifact]
        with Part(self.folders.part(artifact), chunks) as part:
            for number, chunk in enumerate(chunks):
                part.write(number, open_chunk(made.stored[chunk.digest], chunk.digest, chunk.size))
        have = self.store.bitmap(artifact, len(chunks)).with_set(range(len(chunks)))
        self.store.save_progress(artifact, have, Tally(received=sum(map(len, made.stored.values()))))
        done(Finished())

    def stop(self, model: str) -> None:
        self.chunks.pop(model, None)


@dataclass
class House:
    """A device whose version waits for its golden check."""

    keys: Keys
    folder: Path
    now: float = 0.0
    free_bytes: int = GIB
    wants: Callable[[Path, int], Wanted | None] = lambda _file, _most: WANTED

    def __post_init__(self) -> None:
        self.folders = Folders(self.folder)
        self.folders.prepare()
        self.store = Store(self.folders.database)
        self.shelf = Shelf(self.store, self.folders)
        self.plans = Plans(self.folders.plans)
        self.model = self.keys.model("v1")
        self.store.save_manifest(self.model.artifact, MODEL, self.model.sealed)
        self.road = Road(self.store, self.folders)
        self.heard: set[tuple[str, str]] = set()
        self.origins: list[str] = []
        self.fetching = self.begin()

    def begin(self) -> PlanFetching:
        """What a daemon has after a start."""
        ability = Ability("aarch64", 10, GIB, self.free_bytes)
        return PlanFetching(
            PlanBench(
                shelf=self.shelf,
                store=self.store,
                folders=self.folders,
                disk=Inline(),
                loader=Inline(),
                fetches=self.road,
                keyring=lambda: self.keys.keyring,
                ability=lambda: replace(ability, free_disk_bytes=self.free_bytes),
                hear=self._hear,
                now=lambda: self.now,
                wanted=self.wants,
            )
        )

    def _hear(self, artifact: str, machine: str, wanted: bool) -> None:
        (self.heard.add if wanted else self.heard.discard)((artifact, machine))

    def start(self, **changes: object) -> None:
        config = ModelConfig(name=MODEL, **changes)
        loadable = Loadable("v1", self.model.artifact, self.folder / "model.onnx", config)
        self.fetching.start(loadable, self.origins.append)

    def plan(
        self,
        file: bytes | None = None,
        *,
        name: str = PLAN_FILE,
        key: Ed25519PrivateKey | None = None,
        change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
        **of: object,
    ) -> Made:
        """A plan as the registry would hold it."""
        made_for = msgspec.structs.replace(
            PlanFor(artifact=self.model.artifact, model=KEY.model, machine=MACHINE), **of
        )

        def as_plan(manifest: Manifest) -> Manifest:
            return change(
                msgspec.structs.replace(
                    manifest, kind="plan", model_file="", golden=None, plan=made_for, format=0
                )
            )

        made = self.keys.make("v1", {name: WHOLE if file is None else file}, change=as_plan, key=key)
        self.road.made[made.artifact] = made
        return made

    def announce(self, sealed: bytes) -> None:
        for artifact, machine in list(self.heard):
            self.fetching.announced(artifact, machine, sealed)

    @property
    def problem(self) -> str:
        return self.fetching.problem_of(self.model.artifact)


HEADER = header_of()
WHOLE = head_of(HEADER) + PLAN
WANTED = Wanted(KEY, HEADER.inputs, HEADER.outputs, HEADER.buckets)


@pytest.fixture
def house(keys: Keys, tmp_path: Path):
    made = House(keys, tmp_path / "state")
    yield made
    made.store.close()


def assert_nothing_is_left(house: House, made: Made) -> None:
    assert not house.heard
    assert not list((house.folder / "parts").iterdir())
    assert made.artifact not in house.store.artifacts()
    assert not list(house.folders.plans.glob(".*"))


def test_the_plan_of_this_class_is_taken_and_says_where_it_comes_from(house: House) -> None:
    house.start()
    assert house.heard == {(house.model.artifact, MACHINE.key)}
    made = house.plan()
    house.announce(made.sealed)
    assert (house.origins, house.problem) == ([made.artifact], "")
    header, plan = house.plans.load(KEY)
    assert (header, plan) == (msgspec.structs.replace(HEADER, origin=made.artifact), PLAN)
    assert START.unpack_from(house.plans.file(KEY).read_bytes())[1] == FETCHED_FORMAT
    assert house.plans.file(KEY).stat().st_mode & 0o777 == 0o600
    assert_nothing_is_left(house, made)
    assert house.store.tally(house.model.artifact).received > 0, "its bytes count for the version"
    house.start()
    assert house.origins == [made.artifact] * 2
    assert house.road.asked == ["index", "chunks"], "it is here"


def other_machine(**changes: object) -> PlanMachine:
    return msgspec.structs.replace(MACHINE, **changes)


def other_key(**changes: object) -> bytes:
    header = msgspec.structs.replace(HEADER, key=msgspec.structs.replace(KEY, **changes))
    return head_of(header) + PLAN


def larger(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, total_bytes=5 * GIB, format=0)


STRANGER = Ed25519PrivateKey.generate()
WRONG: dict[str, tuple[dict[str, object], str, list[str]]] = {
    "another's seal": ({"key": STRANGER}, "manifest of a plan", []),
    "made of another version": ({"artifact": "ab" * 32}, "made of other files", []),
    "made of other files": ({"model": "cd" * 32}, "made of other files", []),
    "for another TensorRT": ({"machine": other_machine(tensorrt="11.4.1")}, "for other machines", []),
    "for another GPU": ({"machine": other_machine(gpu="Orin Nano")}, "for other machines", []),
    "claims 5 GiB": ({"change": larger}, "claims 5368709120 bytes", []),
    "another file": ({"name": "plan"}, "does not hold the one file", ["index"]),
    "truncated": ({"file": WHOLE[:-1]}, "its size is not what its header says", ["index", "chunks"]),
    "ends at once": ({"file": WHOLE[:9]}, "it ends in its first bytes", ["index", "chunks"]),
    "no plan at all": ({"file": b"x" * 5000}, "is not a plan", ["index", "chunks"]),
    "one byte": ({"file": WHOLE[:-1] + b"!"}, "not those that its builder wrote", ["index", "chunks"]),
    "its header names another GPU": (
        {"file": other_key(gpu="Orin Nano")}, "built for gpu Orin Nano, here Orin", ["index", "chunks"],
    ),
    "its header names other buckets": (
        {"file": head_of(msgspec.structs.replace(HEADER, buckets=(1, 4))) + PLAN}, "tensors or buckets",
        ["index", "chunks"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(WRONG))
def test_a_plan_that_is_wrong_is_not_taken_and_the_reason_is_kept(house: House, what: str) -> None:
    changes, says, asked = WRONG[what]
    made = house.plan(**changes)
    house.start()
    house.announce(made.sealed)
    assert house.origins == [""], "the golden check goes on, and builds"
    assert says in house.problem
    assert house.road.asked == asked, "nothing more was fetched than was needed to see it"
    with pytest.raises(PlanRefusedError):
        house.plans.load(KEY)
    assert_nothing_is_left(house, made)


def test_without_room_it_is_built(house: House) -> None:
    house.free_bytes = 1000
    house.start()
    house.announce(house.plan().sealed)
    assert (house.origins, house.road.asked) == ([""], [])
    assert "bytes of disk" in house.problem


def test_a_depot_that_does_not_have_it_is_no_reason_to_wait(house: House) -> None:
    made = house.plan()
    house.road.made.clear()
    house.start()
    house.announce(made.sealed)
    assert (house.origins, house.problem) == ([""], "the depot does not have it")


def test_when_nobody_announces_one_it_is_built_soon_and_that_is_no_problem(house: House) -> None:
    house.start()
    house.now += ANNOUNCED_SECONDS - 1
    house.fetching.tick()
    assert house.origins == []
    house.now += 2
    house.fetching.tick()
    assert (house.origins, house.problem, house.heard) == ([""], "", set())


def test_a_transfer_that_stands_still_ends_connected_or_not(house: House) -> None:
    house.road.stalls = True
    house.start()
    made = house.plan()
    house.announce(made.sealed)
    house.now += STILL_SECONDS - 1
    house.fetching.tick()
    house.road.chunks[MODEL].tally = Tally(received=1)
    house.now += 2
    house.fetching.tick()
    house.now += STILL_SECONDS - 1
    house.fetching.tick()
    assert house.origins == []
    house.now += 2
    house.fetching.tick()
    assert house.origins == [""]
    assert house.problem == "nothing of it came for 60 s"
    assert_nothing_is_left(house, made)


def test_a_plan_that_is_taken_back_while_it_comes_is_dropped(house: House) -> None:
    house.road.stalls = True
    house.start()
    house.announce(b"")
    assert house.origins == [], "there was none before"
    made = house.plan()
    house.announce(made.sealed)
    house.announce(b"")
    assert (house.origins, house.problem) == ([""], "it was taken back")
    assert_nothing_is_left(house, made)


def test_one_that_did_not_pass_here_is_not_fetched_again_by_a_later_start_either(house: House) -> None:
    house.start()
    made = house.plan()
    house.announce(made.sealed)
    went_on: list[str] = []
    house.fetching.refuse(
        house.model.artifact, made.artifact, "3 values differ", lambda: went_on.append("on")
    )
    assert went_on == ["on"]
    assert not house.plans.file(KEY).exists()
    assert "3 values differ" in house.problem
    house.fetching = house.begin()
    house.start()
    house.announce(made.sealed)
    assert house.origins == [made.artifact, ""]
    assert house.road.asked == ["index", "chunks"]
    assert "did not pass the golden check here before" in house.problem
    another = house.plan(change=lambda manifest: msgspec.structs.replace(manifest, counter=9, format=0))
    house.start()
    house.announce(another.sealed)
    assert house.origins[-1] == another.artifact, "another plan gets its own chance"


def test_where_tensorrt_does_not_run_it_nothing_is_asked_for(house: House) -> None:
    house.start(engine="onnxruntime")
    house.wants = lambda _file, _most: None
    house.fetching = house.begin()
    house.start()

    def breaks(_file: Path, _most: int) -> Wanted:
        raise EngineError("the driver is not well")

    house.wants = breaks
    house.fetching = house.begin()
    house.start()
    assert house.origins == ["", "", ""]
    assert (house.heard, house.road.asked) == (set(), [])


def test_a_version_that_nothing_can_prove_builds_its_own(house: House) -> None:
    house.model = house.keys.make("v2", {"model.onnx": b"no golden examples"})
    house.store.save_manifest(house.model.artifact, MODEL, house.model.sealed)
    house.start()
    assert (house.origins, house.heard) == ([""], set())


def test_cleaning_up_leaves_what_is_on_its_way_as_long_as_its_version_is_needed(house: House) -> None:
    house.road.stalls = True
    house.start()
    made = house.plan()
    house.announce(made.sealed)
    part = house.folders.part(made.artifact)
    part.write_bytes(b"some")
    house.shelf.clean(lambda: [Needs(frozenset({house.model.artifact}), frozenset())])
    assert part.exists()
    assert house.store.sealed_manifest(made.artifact) == made.sealed
    house.fetching.stop(MODEL)
    assert house.origins == []
    house.shelf.clean(lambda: [Needs(frozenset(), frozenset())])
    assert not part.exists()
    assert house.store.sealed_manifest(made.artifact) is None


def test_what_a_killed_daemon_was_taking_in_goes_and_a_draft_of_a_build_stays(house: House) -> None:
    house.folders.plans.mkdir()
    name = house.plans.file(KEY).name
    ours, built = (house.folders.plans / f".{name}{end}" for end in (".fetched.part", ".17.part"))
    for draft in (ours, built):
        draft.write_bytes(b"half")
    house.folders.sweep()
    assert (ours.exists(), built.exists()) == (False, True)


def test_a_key_of_a_device_is_that_of_its_class() -> None:
    assert isinstance(KEY, PlanKey)
    assert MACHINE.key == "2961e5052745901557431dc727b519ec"
