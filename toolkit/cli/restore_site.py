"""What `tiers restore` does once its options are read: open where it goes, plan, carry out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from toolkit.backup.gather_broker import Recorder
    from toolkit.backup.plan import RestorePlan
    from toolkit.backup.restore import Restored, WhenThere
    from toolkit.backup.shelf import Saved
    from toolkit.sync.remotes.remote import Remote
    from toolkit.topology.topology import Topology


class Restoring:
    """A restore from its plan to its end; holds the connection to the broker in between."""

    plan: RestorePlan

    def __init__(
        self, saved: Saved, into: Path, registry: str, broker: str, unwrap_with: Path | None
    ) -> None:
        """Remember what is wanted; see `restore`."""
        self._saved, self._into, self._registry, self._broker = saved, into, registry, broker
        self._unwrap_with = unwrap_with
        self._stack = ExitStack()

    def __enter__(self) -> Restoring:
        """Open registry and broker and make the plan. Errors as `plan_restore`."""
        from toolkit.backup.plan import Targets, plan_restore
        from toolkit.sync.key_file import read_key_file

        with ExitStack() as stack:
            self._unwrap = read_key_file(self._unwrap_with) if self._unwrap_with else None
            self._recorder = self._record(stack) if self._broker else None
            self._targets = Targets(
                self._into,
                self._look_at_registry(),
                self._recorder.documents if self._recorder else None,
                with_keys=self._unwrap is not None,
            )
            self.plan = plan_restore(self._saved, self._targets)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the broker."""
        self._stack.close()

    def writes(self, when_there: WhenThere) -> bool:
        """Say whether anything would be written without being refused."""
        refused = any(step.action.is_refused for step in self.plan.steps)
        return not (refused and when_there == "refuse") and any(
            step.action.value == "write" or step.action.is_refused for step in self.plan.steps
        )

    def carry_out(self, when_there: WhenThere) -> Restored:
        """Write. Errors as `restore`."""
        from toolkit.backup.restore import restore

        if self._targets.registry is not None:
            # Made only now: nothing but a plan was wanted so far.
            self._targets = replace(self._targets, registry=self._open_registry(create=True))
        return restore(
            self.plan, self._targets, when_there=when_there, recorder=self._recorder, unwrap=self._unwrap
        )

    @property
    def _registry_url(self) -> str:
        return self._registry or self._saved.facts.registry

    def _look_at_registry(self) -> Remote | None:
        """Open the registry as it is; a folder that is not there is an empty one."""
        from toolkit.backup.gather_registry import REGISTRY
        from toolkit.backup.shelf import SavedRemote
        from toolkit.errors import RemoteUnavailableError

        if not any(part.name == REGISTRY for part in self._saved.facts.parts):
            return None
        try:
            return self._open_registry()
        except RemoteUnavailableError:
            if not self._registry_url.startswith("file:"):
                raise
        return SavedRemote(replace(self._saved, entries={}), REGISTRY, self._registry_url)

    def _open_registry(self, *, create: bool = False) -> Remote:
        """Open the registry that was named, else the old one, with the login that tiers.yaml refers to."""
        from toolkit.sync.remotes.choose import open_remote

        if self._registry or self._registry_url.startswith("file:"):
            return open_remote(self._registry_url, create=create)
        from toolkit.cli.registry import open_registry_of

        return open_registry_of(self._topology(), create=create).remote

    def _record(self, stack: ExitStack) -> Recorder:
        """Connect to the new broker by what tiers.yaml says of it."""
        from toolkit.cli.backup_parts import open_recorder

        return open_recorder(self._topology(), self._broker, stack)

    def _topology(self) -> Topology:
        """Load the tiers.yaml that is there, else the one in the backup."""
        from toolkit.backup.gather_files import FILES
        from toolkit.topology.load import load_texts

        texts: dict[str, str] = {}
        for name in self._saved.facts.tiers_files:
            there = self._into / name
            data = there.read_bytes() if there.is_file() else self._saved.read(f"{FILES}/{name}")
            texts[str(there)] = data.decode("utf-8", "replace")
        return load_texts(texts).topology
