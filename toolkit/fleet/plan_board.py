"""Announce countersigned plans: the sealed manifest of each, retained under its model's artifact and its machines' key.

    registry: plans/NAME/VERSION/MACHINE -> here -> p/ARTIFACT/MACHINE -> a device of that class, while STAGED

`layout` says which versions are rolled out. The registry is looked at again and again, because a plan is countersigned
after the first device of a class has built it, in the middle of a rollout. What is retained on those topics is read
too: so a plan that was taken back is cleared, also one that an earlier depot has announced. Several depots of a site do
the same, which is harmless.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from toolkit.errors import IntegrityError, TiersError
from toolkit.link.link import Arrived, Link
from toolkit.registry.catalogue import Artifact, open_artifact
from toolkit.registry.countersign import ROOT, countersigned
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import decode_manifest
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

LOOK_SECONDS = 30.0
"""How soon a plan that was countersigned, or taken back, is noticed."""

log = logging.getLogger(__name__)
Place = tuple[str, str]
"""Artifact of the model, key of the machines."""


class PlanBoard:
    """Keeps the announcements of a site's plans true. For one thread."""

    def __init__(
        self, link: Link, topics: Topics, registry: Callable[[], PackStore], keyring: Keyring
    ) -> None:
        """Prepare; `registry` may raise while the registry is away."""
        self._link = link
        self._topics = topics
        self._registry = registry
        self._keyring = keyring
        self._retained: dict[Place, bytes] = {}
        """What stands on the topics, as far as it is known."""
        self._told: set[str] = set()
        """What is wrong with plans, so that it is logged once."""
        self._look_at = 0.0
        self._due: deque[Callable[[], None]] = deque()
        """What is left of the present round."""
        self._models: dict[Digest, Artifact] = {}

    def take(self, event: Arrived) -> bool:
        """Take a message if it stands on a plan's topic; tell whether it did."""
        place = self._topics.plan_of(event.topic)
        if place is None:
            return False
        if event.payload:
            self._retained[place] = event.payload
        else:
            self._retained.pop(place, None)
        return True

    def look_soon(self) -> None:
        """Look at the registry at the next occasion: another version is rolled out."""
        self._look_at = 0.0

    def forget(self) -> None:
        """Take nothing for retained any more: a broker that came back may have lost it."""
        self._retained.clear()
        self._look_at = 0.0

    def look(self, artifacts: Iterable[Digest], now: float) -> None:
        """Announce what is new for these versions and clear what was taken back, when it is time.

        Each call does one short thing: devices that wait for chunks are not to wait for the whole of it.

        Args:
            artifacts: models that are rolled out, or were before that.
            now: seconds of a clock that only grows.
        """
        if not self._due and now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._due.extend(partial(self._announce, artifact) for artifact in sorted(set(artifacts)))
            self._due.extend(partial(self._look_after, place) for place in self._retained)
        if self._due:
            try:
                self._due.popleft()()
            except TiersError as error:
                self._tell_once(f"plans are not looked at: {error.message}")

    def _announce(self, artifact: Digest) -> None:
        model = self._models.get(artifact) or open_artifact(self._registry(), artifact, self._keyring)
        self._models[artifact] = model
        for machine, plan in countersigned(self._registry(), model, self._keyring):
            place = (model.id, machine)
            if isinstance(plan, IntegrityError):
                self._tell_once(f"a plan of {model.label} is not announced: {plan.message}")
            elif self._retained.get(place) != plan.sealed:
                log.info("a plan of %s is announced for machines %s", model.label, machine)
                self._publish(place, plan.sealed)

    def _look_after(self, place: Place) -> None:
        sealed = self._retained.get(place)
        if sealed is not None and not self._stands(place, sealed):
            log.warning("the plan of %s for machines %s was taken back", place[0][:12], place[1])
            self._publish(place, b"")

    def _stands(self, place: Place, sealed: bytes) -> bool:
        """Tell whether the registry still leads to what is announced, and it counts."""
        try:
            payload = unseal(sealed, "manifest", self._keyring, what=f"plan on the topic of {place[0][:12]}")
            _, manifest = decode_manifest(payload)
        except IntegrityError:
            return False
        if manifest.plan is None or (manifest.plan.artifact, manifest.plan.machine.key) != place:
            return False
        ref = self._registry().read_ref(f"{ROOT}{manifest.name}/{manifest.version}/{place[1]}")
        return ref is not None and ref.digest == digest_of(payload)

    def _publish(self, place: Place, sealed: bytes) -> None:
        self._link.publish(self._topics.plan(*place), sealed, qos=1, retain=True)
        if sealed:
            self._retained[place] = sealed
        else:
            self._retained.pop(place, None)

    def _tell_once(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            log.warning("%s", problem)
