"""Bring what an offer needs to be judged, and judge it: the work of OFFERED.

The sealed manifest comes retained over the link (or from the store after a restart), `protocol.offer` judges it, then
the index is fetched and judged too. The answer is one `Outcome`: ACCEPT, REFUSE or FAIL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.transfer import disk_failure
from edge_runtime.trust import Trust
from edge_runtime.worker import Worker
from toolkit.errors import StoreError
from toolkit.protocol.exchange import GivenUp
from toolkit.protocol.installation import Event, Installation, Offer, Outcome
from toolkit.protocol.offer import Ability, Refused, judge, read_index, read_manifest
from toolkit.wire.digest import Digest
from toolkit.wire.index import Index
from toolkit.wire.manifest import Manifest

log = logging.getLogger(__name__)
Answer = Callable[[Outcome], None]
MakeRoom = Callable[[str, int, Callable[[], None]], bool]
"""Model, bytes that are lacking (0: only what nobody needs), what to do afterwards -> whether there is a way."""
ROUNDS: Final = 2
"""Times that room is made for one offer: once of what is left over, once of what can be given up."""
StartFetch = Callable[[str, Digest, Manifest, Callable[[bytes | GivenUp], None]], None]


@dataclass(frozen=True)
class _Open:
    """An offer that waits for its manifest or its index."""

    held: Installation
    offer: Offer
    answer: Answer
    rounds: int = 0
    """How often room was made for it."""

    def end(self, event: Event, code: str = "", reason: str = "") -> None:
        self.answer(Outcome(self.held.attempt, event, code, reason))


class Offers:
    """The offers that are being judged; one a model. For the control thread."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        store: Store,
        disk: Worker,
        trust: Trust,
        ability: Callable[[], Ability],
        want_manifest: Callable[[Digest], None],
        start_fetch: StartFetch,
        make_room: MakeRoom,
    ) -> None:
        """Prepare.

        Args:
            shelf: artifacts on this device.
            store: where accepted manifests are kept.
            disk: the disk thread.
            trust: whom this device trusts.
            ability: what the device can do now.
            want_manifest: subscribes to an artifact's manifest.
            start_fetch: begins to fetch an index for a model.
            make_room: deletes what nobody needs and, for so many bytes that are lacking, what other models can give up.
        """
        self._shelf = shelf
        self._store = store
        self._disk = disk
        self._trust = trust
        self._ability = ability
        self._want_manifest = want_manifest
        self._start_fetch = start_fetch
        self._make_room = make_room
        self._open: dict[str, _Open] = {}

    def check(self, held: Installation, offer: Offer, answer: Answer) -> None:
        """Judge an offer; `answer` follows, at once or when manifest and index have come."""
        self._open[held.model] = _Open(held, offer, answer)
        sealed = self._store.sealed_manifest(offer.artifact)
        if sealed is not None:
            self._judge(held.model, sealed)
        else:
            self._want_manifest(offer.artifact)

    def stop(self, model: str) -> None:
        """Judge this model's offer no further."""
        self._open.pop(model, None)

    def manifest_arrived(self, artifact: str, sealed: bytes) -> None:
        """Take in a manifest that came over the link."""
        for model, open_offer in list(self._open.items()):
            waits = self._store.sealed_manifest(artifact) is None
            if open_offer.offer.artifact == artifact and waits:
                self._judge(model, sealed)

    def _judge(self, model: str, sealed: bytes) -> None:
        waiting = self._open[model]
        try:
            manifest = self._judged(waiting, sealed)
        except (StoreError, OSError) as error:
            self._failed(waiting, error)
            return
        if isinstance(manifest, Refused):
            if manifest.code == "no-space" and self._has_made_room(waiting, manifest.short_bytes, sealed):
                return
            log.warning("%s %s is refused: %s", model, waiting.offer.version, manifest.reason)
            self._end(waiting, Event.REFUSE, manifest.code, manifest.reason)
            return
        self._disk.submit(
            partial(self._shelf.index_bytes, waiting.offer.artifact),
            lambda data: self._have_index(waiting, manifest, data),
            lambda error: self._failed(waiting, error),
        )

    def _has_made_room(self, waiting: _Open, short_bytes: int, sealed: bytes) -> bool:
        """Make room if there is a way, and judge again when it is made."""
        model = waiting.held.model
        again = replace(waiting, rounds=waiting.rounds + 1)

        def made() -> None:
            if self._is_current(again):
                self._judge(model, sealed)

        # What is left over may not have been deleted yet, so that comes first and costs nobody anything.
        asked = 0 if waiting.rounds == 0 else short_bytes
        if waiting.rounds >= ROUNDS or not self._make_room(model, asked, made):
            return False
        self._open[model] = again
        return True

    def _judged(self, waiting: _Open, sealed: bytes) -> Manifest | Refused:
        offer, held = waiting.offer, waiting.held
        manifest = read_manifest(sealed, self._trust.keyring, held.model, offer)
        if isinstance(manifest, Refused):
            return manifest
        known = self._store.sealed_manifest(offer.artifact) is not None
        held_bytes = self._shelf.held_bytes(offer.artifact) if known else 0
        refused = judge(manifest, self._ability(), floor=held.floor, held_bytes=held_bytes)
        if refused is not None:
            return refused
        self._store.save_manifest(offer.artifact, held.model, sealed)
        return manifest

    def _have_index(self, waiting: _Open, manifest: Manifest, data: bytes | None) -> None:
        if data is not None and not isinstance(read_index(data, manifest), Refused):
            self._accept(waiting, manifest)
        elif self._is_current(waiting):
            self._start_fetch(
                waiting.held.model,
                waiting.offer.artifact,
                manifest,
                lambda result: self._fetched(waiting, manifest, result),
            )

    def _fetched(self, waiting: _Open, manifest: Manifest, result: bytes | GivenUp) -> None:
        if isinstance(result, GivenUp):
            self._end(waiting, Event.FAIL, result.code, result.reason)
            return
        index: Index | Refused = read_index(result, manifest)
        if isinstance(index, Refused):
            self._end(waiting, Event.REFUSE, index.code, index.reason)
            return
        self._disk.submit(
            partial(self._shelf.save_index, waiting.offer.artifact, result),
            lambda _: self._accept(waiting, manifest),
            lambda error: self._failed(waiting, error),
        )

    # ------------------------------------------------------------ endings
    def _is_current(self, waiting: _Open) -> bool:
        return self._open.get(waiting.held.model) is waiting

    def _accept(self, waiting: _Open, manifest: Manifest) -> None:
        if self._is_current(waiting):
            del self._open[waiting.held.model]
            outcome = Outcome(
                waiting.held.attempt, Event.ACCEPT, counter=manifest.counter, floor=manifest.floor
            )
            waiting.answer(outcome)

    def _failed(self, waiting: _Open, error: Exception) -> None:
        self._end(waiting, Event.FAIL, *disk_failure(error))

    def _end(self, waiting: _Open, event: Event, code: str, reason: str) -> None:
        if self._is_current(waiting):
            del self._open[waiting.held.model]
            waiting.end(event, code, reason)
