"""Carry out what `protocol.install` decides: save each arrow, report it, then do its actions and tell how they ended.

No rule lives here. `control` brings desired documents, link events and time; `offers`, `transfer`, `shelf`, `trial` and
`activate` do the work of the states and come back through `_give`. Everything here runs in the control thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from edge_runtime.golden import Finding
from edge_runtime.installed_settings import InstalledSettings
from edge_runtime.opening import Loadable
from edge_runtime.permit import Wait
from edge_runtime.proving import Proving
from edge_runtime.room import Room
from edge_runtime.seed import Find
from edge_runtime.shelf import SEEDED_AT_ONCE
from edge_runtime.ties import Ties
from edge_runtime.transfer import disk_failure
from edge_runtime.trial import INTERRUPTED, Trial
from edge_runtime.workshop import Workshop
from toolkit.errors import StoreError, TiersError
from toolkit.protocol.exchange import Finished, GivenUp
from toolkit.protocol.install import needs, step
from toolkit.protocol.installation import (
    Action,
    Event,
    Given,
    Installation,
    Needs,
    Offer,
    Offered,
    Outcome,
    Restarted,
    Rules,
    Serving,
    Struck,
    Tick,
    Withdrawn,
)
from toolkit.wire.desired import Desired
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.device_settings import SETTINGS_NAME
from toolkit.wire.digest import Digest
from toolkit.wire.index import distinct_chunks
from toolkit.wire.manifest import Manifest
from toolkit.wire.states import InstallState

log = logging.getLogger(__name__)
T = TypeVar("T")
_WAITING: Final = {
    InstallState.OFFERED: Action.CHECK_OFFER,
    InstallState.WAITING_WINDOW: Action.AWAIT_WINDOW,
}
"""States in which an installation may have to wait for a permit, and the work that it then does."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""Pause before a waiting installation looks again whether it may go on."""
SAVE_AGAIN_SECONDS: Final = 5.0
"""Pause before something that could not be saved is tried again."""


class Installer:
    """All installations of a device."""

    def __init__(self, models: Iterable[ModelConfig], workshop: Workshop) -> None:
        """Take up what the store remembers; nothing is done before `restart`."""
        self._configs = {each.name: each for each in models}
        self._shop = workshop
        self._held = workshop.store.installations()
        self._proving = Proving(workshop.plans, workshop.trials, workshop.activator)
        self._failures: dict[str, int] = {}
        self._unsaved: list[tuple[str, Given]] = []
        self._save_again_at = 0.0
        self._look_again_at = 0.0
        self._urgent: frozenset[str] = frozenset()
        self._waiting: dict[str, int] = {}
        """Models whose installation waits for a permit, and the attempt."""
        self._do: dict[Action, Callable[[Installation], None]] = {
            Action.SERVE: self._serve,
            Action.STOP: self._stop,
            Action.CLEAN: self._clean,
            Action.CHECK_OFFER: self._check_offer,
            Action.AWAIT_WINDOW: self._await_window,
            Action.SEED: self._seed,
            Action.DOWNLOAD: self._download,
            Action.ASSEMBLE: self._assemble,
            Action.CHECK_GOLDEN: self._check_golden,
            Action.PREPARE: self._prepare,
        }
        workshop.activator.ties = Ties(keeps=self._is_on_probation, lost=self._lost)
        settings = InstalledSettings(workshop.live, workshop.folders, self._give)
        self._settings_work = {**self._do, **settings.work}

    # ------------------------------------------------------------ what control calls
    def restart(self) -> None:
        """Take up all installations after a start."""
        for model in list(self._held):
            self._give(model, Restarted())
            if (model, Restarted()) in self._unsaved:
                # A disk that is full at the start: what is installed serves all the same, and nothing else is done.
                self._perform(Action.SERVE, self._held[model])
        self._shop.disk.submit(partial(self._shop.shelf.clean, self._needs), _nothing, _log_failure)

    def obey(self, desired: Desired) -> None:
        """Make the installations follow a desired document that has been accepted."""
        wanted = {each.model: each for each in desired.models}
        self._urgent = frozenset(each.model for each in desired.models if each.now)
        for model in set(self._held) - set(wanted):
            self._give(model, Withdrawn())
        for each in desired.models:
            offer = Offer(version=each.version, artifact=each.artifact, rollout=each.rollout)
            self._give(each.model, Offered(offer))
        self._shop.reports.obeyed(self._held, self._shop.fetches.chunks)

    def tick(self) -> None:
        """Let time pass, and look whether the engines are well."""
        now = self._shop.now()
        if self._unsaved and now >= self._save_again_at:
            self._save_again_at = now + SAVE_AGAIN_SECONDS
            unsaved, self._unsaved = self._unsaved, []
            for model, given in unsaved:
                self._give(model, given)
        for model in list(self._held):
            self._look_at_engine(model)
            self._give(model, Tick())
        if self._waiting and now >= self._look_again_at:
            self._look_again_at = now + LOOK_AGAIN_SECONDS
            for model in list(self._waiting):
                self._try_waiting(model)
        self._shop.patching.tick()
        self._shop.plans.tick()
        self._shop.reports.progress(now, self._held, self._shop.fetches.chunks)

    @property
    def loads(self) -> dict[tuple[str, bool], int]:
        """Give how often versions were opened, by model and whether it worked; 0 where that never was."""
        never = {(model, worked): 0 for model in self._configs for worked in (True, False)}
        return never | dict(self._shop.activator.loads)

    @property
    def at_rest(self) -> bool:
        """Whether no version is on its way into memory."""
        return self._shop.activator.at_rest

    @property
    def room(self) -> Room:
        """What makes room on the disk for an offer."""
        return Room(lambda: self._held, self._give, self._shop.shelf, self._shop.disk)

    def wait_of(self, model: str) -> Wait | None:
        """Say what an installation waits for before it may go on; None when it does not wait."""
        held = self._held.get(model)
        return self._wait(held) if held is not None else None

    @property
    def installations(self) -> dict[str, Installation]:
        """Give all installations by model."""
        return dict(self._held)

    # ------------------------------------------------------------ one step
    def _give(self, model: str, given: Given) -> None:
        held = self._held.get(model) or Installation(model=model)
        config = self._configs.get(model)
        rules = Rules(config.probation_seconds) if config else Rules()
        new, actions = step(held, given, self._shop.now(), rules)
        if new != held:
            if new.state is not held.state:
                self._shop.drill.leaving(model, held.state)
            try:
                seq = self._shop.store.save_installation(new)
            except StoreError as error:
                # What is not saved must not be acted on; the disk may recover, and then it is given again.
                log.error("%s: %s; %s", model, error.message, error.hint)  # noqa: TRY400 -- explained
                if (model, given) not in self._unsaved:
                    self._unsaved.append((model, given))
                return
            self._held[model] = new
            if new.state is not held.state:
                why = f" ({new.code}: {new.reason})" if new.code else ""
                log.info("%s: %s -> %s%s", model, held.state.value, new.state.value, why)
            self._shop.reports.changed(seq, self._held, self._shop.fetches.chunks)
            if new.state is not held.state:
                self._shop.drill.entered(model, new.state)
        for action in actions:
            self._perform(action, new)

    def _perform(self, action: Action, held: Installation) -> None:
        try:
            work = self._settings_work if held.model == SETTINGS_NAME else self._do
            work[action](held)
        except (TiersError, OSError) as error:
            log.warning("%s: %s failed: %s", held.model, action.value, error)
            self._end(held, Event.FAIL, *disk_failure(error))

    def _end(self, held: Installation, event: Event, code: str = "", reason: str = "") -> None:
        self._give(held.model, Outcome(held.attempt, event, code, reason))

    def _needs(self) -> list[Needs]:
        return [needs(each) for each in list(self._held.values())]

    # ------------------------------------------------------------ actions
    def _serve(self, held: Installation) -> None:
        model, activator = held.model, self._shop.activator
        first = held.shall_serve
        if first is None or model not in self._configs:
            activator.withdraw(model, lambda _: self._serves(model, ""))
            return

        def done(problem: str) -> None:
            if problem:
                log.error("%s %s does not load: %s", model, first.version, problem)
                self._give(model, Struck(first.artifact, problem, fatal=True))
            else:
                self._failures[model] = activator.failures(model, first.version)
                self._serves(model, first.artifact)
                self._accompany(held)

        try:
            activator.serve(self._loadable(model, first.version, first.artifact), done)
        except TiersError as error:
            done(error.message)

    def _accompany(self, held: Installation) -> None:
        """Keep the version before beside one on trial, which matters after a restart: else it never left memory."""
        on_trial = self._is_on_probation(held.model) and self._configs[held.model].trial_share < 1
        if on_trial and len(held.good) > 1:
            activator, former = self._shop.activator, held.good[1]
            activator.accompany(self._loadable(held.model, former.version, former.artifact))

    def _serves(self, model: str, artifact: str) -> None:
        self._give(model, Serving(artifact))
        self._give(model, Tick())

    def _stop(self, held: Installation) -> None:
        self._shop.offers.stop(held.model)
        self._shop.patching.stop(held.model)
        self._shop.fetches.stop(held.model)
        self._proving.stop(held.model)
        self._shop.activator.drop(held.model)

    def _clean(self, held: Installation) -> None:
        if held.state is not InstallState.PROBATION:
            self._shop.activator.settle(held.model)
        self._shop.disk.submit(partial(self._shop.shelf.clean, self._needs), _nothing, _log_failure)

    def _check_offer(self, held: Installation) -> None:
        if held.model not in self._configs and held.model != SETTINGS_NAME:
            why = f"the configuration of this device names no model {held.model}"
            self._end(held, Event.REFUSE, "not-configured", f"{why}; add it under models")
        elif self._wait(held) is not None:
            self._waiting[held.model] = held.attempt
        elif held.offer is not None:
            self._shop.offers.check(held, held.offer, partial(self._give, held.model))

    def _await_window(self, held: Installation) -> None:
        if self._wait(held) is not None:
            self._waiting[held.model] = held.attempt
        else:
            self._end(held, Event.WINDOW)

    def _wait(self, held: Installation) -> Wait | None:
        return self._shop.permit.wait_of(held, urgent=held.model in self._urgent)

    def _try_waiting(self, model: str) -> None:
        """Take the work of a waiting installation up again if nothing keeps it any more."""
        held = self._held[model]
        if self._waiting[model] != held.attempt or held.state not in _WAITING:
            del self._waiting[model]
        elif self._wait(held) is None:
            del self._waiting[model]
            self._perform(_WAITING[held.state], held)

    def _seed(self, held: Installation) -> None:
        artifact = self._artifact(held)
        self._on_disk(
            held,
            partial(self._shop.shelf.plan_seeding, artifact),
            lambda finds: self._seed_some(held, artifact, finds),
        )

    def _seed_some(self, held: Installation, artifact: Digest, finds: list[Find]) -> None:
        if not finds:
            seeded = partial(self._end, held, Event.SEEDED)
            self._shop.patching.start(held.model, artifact, seeded)
        elif self._held[held.model].attempt == held.attempt:
            now, later = finds[:SEEDED_AT_ONCE], finds[SEEDED_AT_ONCE:]
            job = partial(self._shop.shelf.seed, artifact, now)
            self._on_disk(held, job, lambda _: self._seed_some(held, artifact, later))

    def _download(self, held: Installation) -> None:
        artifact = self._artifact(held)

        def done(ending: Finished | GivenUp) -> None:
            if isinstance(ending, GivenUp):
                self._end(held, Event.FAIL, ending.code, ending.reason)
            else:
                self._end(held, Event.DOWNLOADED)

        self._on_disk(
            held,
            lambda: distinct_chunks(self._shop.shelf.index(artifact)),
            lambda chunks: self._shop.fetches.start_chunks(held.model, artifact, chunks, done),
        )

    def _assemble(self, held: Installation) -> None:
        def done(lost: int) -> None:
            if lost:
                log.warning("%s: %d stored chunks were damaged", held.model, lost)
            self._end(held, Event.CHUNKS_LOST if lost else Event.VERIFIED)

        self._on_disk(held, partial(self._shop.shelf.assemble, self._artifact(held)), done)

    def _check_golden(self, held: Installation) -> None:
        artifact = self._artifact(held)
        config, folders = self._configs[held.model], self._shop.folders
        manifest = self._shop.shelf.manifest(artifact)
        trial = Trial(held.model, folders.version(artifact), manifest, config, folders.plans)
        loadable = self._loadable(held.model, held.offer.version if held.offer else "", artifact)

        def done(finding: Finding) -> None:
            log.info("%s: golden check: %s", held.model, finding)
            if finding.code != INTERRUPTED:
                self._shop.activator.loads[held.model, not finding.code] += 1
            if finding.code:
                self._end(held, Event.FAIL, finding.code, finding.reason)
            else:
                self._end(held, Event.PASSED)

        self._proving.start(trial, loadable, lambda: self._held[held.model].attempt == held.attempt, done)

    def _prepare(self, held: Installation) -> None:
        artifact = self._artifact(held)
        version = held.offer.version if held.offer else ""

        def done(code: str, problem: str) -> None:
            if self._held[held.model].attempt != held.attempt:
                self._shop.activator.drop(held.model)  # nobody waits for it any more
            elif code:
                self._end(held, Event.FAIL, code, problem)
            else:
                self._end(held, Event.PREPARED)

        self._shop.activator.prepare(self._loadable(held.model, version, artifact), done)

    # ------------------------------------------------------------ inside
    def _on_disk(self, held: Installation, job: Callable[[], T], done: Callable[[T], None]) -> None:
        """Let the disk thread work for an attempt; its failure is the attempt's failure."""

        def failed(error: Exception) -> None:
            self._end(held, Event.FAIL, *disk_failure(error))

        def finished(result: T) -> None:
            if self._held[held.model].attempt == held.attempt:
                done(result)

        self._shop.disk.submit(job, finished, failed)

    def _loadable(self, model: str, version: str, artifact: str) -> Loadable:
        manifest: Manifest = self._shop.shelf.manifest(artifact)
        file = self._shop.folders.version(artifact) / manifest.model_file
        needed = manifest.requires.memory_bytes
        plans = self._shop.folders.plans
        return Loadable(version, artifact, file, self._configs[model], manifest.stages, needed, plans)

    def _lost(self, model: str, artifact: str, problem: str) -> None:
        """Hear that a version which served, or was to on demand, does not load any more."""
        log.error("%s does not load: %s", model, problem)
        self._serves(model, "")
        self._give(model, Struck(artifact, problem, fatal=True))

    def _look_at_engine(self, model: str) -> None:
        held = self._held[model]
        first = held.shall_serve
        if first is None or held.serving != first.artifact:
            return
        failures = self._shop.activator.failures(model, first.version)
        for _ in range(failures - self._failures.get(model, 0)):
            self._give(model, Struck(held.serving, "its engine failed an inference"))
        self._failures[model] = failures

    def _is_on_probation(self, model: str) -> bool:
        return model in self._held and self._held[model].state is InstallState.PROBATION

    @staticmethod
    def _artifact(held: Installation) -> Digest:
        if held.offer is None:
            raise TiersError(f"{held.model}: work without an offer")
        return held.offer.artifact


def _nothing(_: object) -> None:
    """Take an outcome that nobody waits for."""


def _log_failure(error: Exception) -> None:
    log.warning("cleaning up failed: %s", error)
