"""Lay out the manifests of rollouts: the sealed bytes of the registry, unchanged, retained where devices look for them.

A rollout names an artifact; before a device can ask for a chunk of it, it needs the manifest, and those of its patches;
`plan_board` announces the plans that machines of one class may have of it.
`depot` feeds this with what stands on the rollouts' topics. Manifests that cannot be read now are owed and tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from toolkit.errors import TiersError
from toolkit.fleet.plan_board import PlanBoard
from toolkit.link.link import Arrived, Link
from toolkit.registry.catalogue import Artifact, open_artifact
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest
from toolkit.wire.keyring import Keyring
from toolkit.wire.rollout import decode_rollout
from toolkit.wire.signature import unseal
from toolkit.wire.topics import Topics

RETRY_SECONDS = 2.0
"""How soon a manifest that could not be read is tried again."""

log = logging.getLogger(__name__)


class Layout:
    """Keeps the manifests of a site's rollouts retained. For one thread."""

    def __init__(
        self, link: Link, topics: Topics, registry: Callable[[], PackStore], keyring: Keyring
    ) -> None:
        """Prepare; `registry` may raise while the registry is away."""
        self._link = link
        self._topics = topics
        self._registry = registry
        self._keyring = keyring
        self._named: dict[str, tuple[Digest, ...]] = {}
        self._owed: set[Digest] = set()
        self._retry_at = 0.0
        self._plans = PlanBoard(link, topics, registry, keyring)
        self.count = 0
        """Manifests that were laid out since the start."""

    def take(self, event: Arrived, now: float) -> bool:
        """Take a message if it stands on a rollout's topic, or a plan's; tell whether it did."""
        if self._plans.take(event):
            return True
        prefix = self._topics.rollout("+").removesuffix("+")
        if not event.topic.startswith(prefix):
            return False
        name = event.topic.removeprefix(prefix)
        if not event.payload:
            self._named.pop(name, None)
            return True
        try:
            rollout = decode_rollout(unseal(event.payload, "rollout", self._keyring, what=f"rollout {name}"))
        except TiersError as error:
            log.warning("rollout %s does not count: %s", ascii(name[:100]), error.message)
            return True
        previous = rollout.spec.previous_artifact
        self._named[name] = (rollout.spec.artifact, *([Digest(previous)] if previous else []))
        self._owed.update(self._named[name])
        self._pay(now)
        self._plans.look_soon()
        return True

    def lay_out_again(self, now: float) -> None:
        """Write everything once more: a broker that came back may have forgotten it."""
        self._owed.update(artifact for named in self._named.values() for artifact in named)
        self._plans.forget()
        self._pay(now)

    def retry(self, now: float) -> None:
        """Try again what is owed, and look after plans, when it is time; `now` in seconds of a clock that grows."""
        if self._owed and now >= self._retry_at:
            self._pay(now)
        self._plans.look((artifact for named in self._named.values() for artifact in named), now)

    def _pay(self, now: float) -> None:
        self._owed &= {artifact for named in self._named.values() for artifact in named}
        for artifact in sorted(self._owed):
            try:
                self._lay_out(artifact)
            except TiersError as error:
                log.warning("manifest %s is not laid out: %s", artifact[:12], error.message)
                continue
            self._owed.discard(artifact)
        self._retry_at = now + RETRY_SECONDS

    def _lay_out(self, artifact: Digest) -> None:
        """Write a manifest and those of its patches; devices do without a patch whose manifest is damaged."""
        for patch in self._publish(artifact).manifest.patches:
            try:
                self._publish(patch.artifact)
            except TiersError as error:
                if error.retryable:
                    raise
                log.warning("manifest %s of a patch is not laid out: %s", patch.artifact[:12], error.message)

    def _publish(self, artifact: Digest) -> Artifact:
        opened = open_artifact(self._registry(), artifact, self._keyring)
        self._link.publish(self._topics.manifest(artifact), opened.sealed, qos=1, retain=True)
        self.count += 1
        return opened
