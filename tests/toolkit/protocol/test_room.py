"""What goes when something new does not fit: what nobody needs first, what serves or is fallen back to never."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolkit.protocol.install import needs, step
from toolkit.protocol.installation import Evicted, Installation, Offer, Proven
from toolkit.protocol.room import choose
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.states import InstallState

S = InstallState


def artifact(name: str) -> Digest:
    return digest_of(name.encode())


def proven(*versions: str) -> tuple[Proven, ...]:
    return tuple(Proven(version=each, artifact=artifact(each), rollout="r") for each in versions)


def offer(version: str) -> Offer:
    return Offer(version=version, artifact=artifact(version), rollout="r")


WANTED = Installation(
    model="wanted", state=S.ACTIVE, offer=offer("w2"), good=proven("w2", "w1"), serving=artifact("w2")
)
ON_PROBATION = replace(WANTED, state=S.PROBATION, offer=offer("w3"), good=proven("w3", "w2", "w1"))
GONE = Installation(model="gone", state=S.IDLE, offer=offer("g2"), good=proven("g2", "g1"), withdrawn=True)
BEGUN = Installation(model="begun", state=S.CANCELLED, offer=offer("b1"), withdrawn=True)
ASKING = Installation(model="asking", state=S.OFFERED, offer=offer("a1"))
ALL = [WANTED, GONE, BEGUN, ASKING]


def chosen(installations: list[Installation], short: int, size: int = 100) -> list[str]:
    found = choose(installations, "asking", lambda _: size, short)
    names = {artifact(name): name for name in ("w1", "w2", "w3", "g1", "g2", "b1", "a1")}
    return sorted(names[Digest(each)] for artifacts in found.values() for each in artifacts)


def test_what_was_only_begun_goes_first_then_versions_that_nobody_wants() -> None:
    assert chosen(ALL, 1) == ["b1"]
    assert chosen(ALL, 101) == ["b1", "g1"]
    assert chosen(ALL, 300) == ["b1", "g1", "g2"]


def test_if_it_would_not_be_enough_nothing_goes() -> None:
    assert chosen(ALL, 301) == []
    assert chosen([WANTED, ASKING], 1) == []


def test_of_a_model_on_probation_only_the_third_version_goes() -> None:
    assert chosen([ON_PROBATION, ASKING], 100) == ["w1"]
    assert chosen([ON_PROBATION, ASKING], 101) == []


def test_what_still_serves_though_it_was_withdrawn_stays() -> None:
    assert chosen([replace(GONE, serving=artifact("g2")), ASKING], 100) == ["g1"]
    assert chosen([replace(GONE, serving=artifact("g2")), ASKING], 101) == []


def test_what_takes_no_bytes_is_left_alone() -> None:
    sizes = {artifact("b1"): 0}
    found = choose(ALL, "asking", lambda each: sizes.get(Digest(each), 100), 50)
    assert found == {"gone": frozenset({artifact("g1")})}


def test_what_goes_is_no_longer_needed_and_no_longer_counts_as_good() -> None:
    held, actions = step(GONE, Evicted(frozenset({artifact("g1")})), 0.0)
    assert (held.good, actions) == (proven("g2"), ())
    assert artifact("g1") not in needs(held).versions
    held, _ = step(BEGUN, Evicted(frozenset({artifact("b1")})), 0.0)
    assert held.state is S.IDLE
    assert not needs(held).parts


VERSIONS = ["x1", "x2", "x3", "x4"]


@given(
    st.sampled_from(list(InstallState)),
    st.permutations(VERSIONS),
    st.integers(0, 4),
    st.booleans(),
    st.sampled_from(["", *VERSIONS]),
    st.sampled_from(VERSIONS),
    st.frozensets(st.sampled_from(VERSIONS)),
)
def test_whatever_is_asked_two_good_versions_and_what_serves_stay(
    state, order, count, withdrawn, serving, offered, gone
) -> None:
    held = Installation(
        model="m",
        state=state,
        offer=offer(offered),
        good=proven(*order[:count]),
        withdrawn=withdrawn,
        serving=artifact(serving) if serving else "",
    )
    after, _ = step(held, Evicted(frozenset(artifact(each) for each in gone)), 0.0)
    left = [each.version for each in after.good]
    assert left == [each for each in order[:count] if each in left]
    if not withdrawn:
        assert left[:2] == order[:count][:2]
    assert serving in left or serving not in order[:count]
    assert after.state is state or (state, after.state) == (S.CANCELLED, S.IDLE)
    gone_now = {each.artifact for each in held.good} - {each.artifact for each in after.good}
    if after.offer is not None and after.offer.artifact not in gone_now:
        assert not needs(after).versions & gone_now
