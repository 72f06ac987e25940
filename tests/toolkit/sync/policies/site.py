"""A site of three folders for whole runs: mirror hot, mirror warm, packs cold; and its rules under a fake clock."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.toolkit.sync.policies.facts import DAY
from toolkit.sync.policies.carry_out import Done, carry_out
from toolkit.sync.policies.plan import Outlook, make_plan
from toolkit.sync.policies.policy import Place, Policy, Rule, Terms, check_policy
from toolkit.sync.policies.shelf import open_shelf
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask


class Site:
    """Folders, a policy over them, and a clock that starts now and goes on by days."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.start_ms = time.time_ns() // 1_000_000
        self.storages: dict[str, Storage] = {}
        for tier, layout in (("hot", "mirror"), ("warm", "mirror"), ("cold", "packs")):
            (root / tier).mkdir()
            self.storages[tier] = Storage(tier=tier, url=(root / tier).as_uri(), layout=layout)

    def now(self, days: float = 0) -> int:
        return int(self.start_ms + days * DAY)

    def write(self, path: str, data: bytes | None = None, *, age: float = 0, tier: str = "hot") -> Path:
        """Write a file that was changed `age` days ago; what is in it follows from its path."""
        file = self.root / tier / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(random.Random(path).randbytes(20_000) if data is None else data)
        changed = self.now(-age) * 1_000_000
        os.utime(file, ns=(changed, changed))
        return file

    def route(self, name: str, source: str, target: str, path: str = "", **other) -> None:
        task = SyncTask(
            route=name, source=self.storages[source], targets=(self.storages[target],), path=path, **other
        )
        assert run_task(task).exit_code == 0

    def policy(
        self, *rules: Rule, capacity: dict[str, int] | None = None, trash: float = 7, **terms
    ) -> Policy:
        tiers = tuple(
            Terms(
                tier=tier,
                places=(Place(storage=storage, capacity_bytes=(capacity or {}).get(tier, 0)),),
                **terms.get(tier, {}),
            )
            for tier, storage in self.storages.items()
        )
        return check_policy(Policy(site="site", tiers=tiers, rules=rules, trash_seconds=trash * 86400))

    def run(self, policy: Policy, days: float = 0, **other) -> tuple[Outlook, Done]:
        outlook = make_plan(policy, self.now(days))
        return outlook, carry_out(policy, outlook, who="test", now_ms=self.now(days), **other)

    def has(self, tier: str) -> list[str]:
        shelf = open_shelf(self.storages[tier])
        try:
            return sorted(item.path.decode() for item in shelf.items())
        finally:
            shelf.close()

    def trash(self, tier: str) -> list[str]:
        root = self.root / tier / ".tiers/trash"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
