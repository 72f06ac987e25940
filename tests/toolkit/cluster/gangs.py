"""Gangs of a site on the real scheduler: submitted as rendered, watched, and their pods made to end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.api import Refused
from toolkit.lint.document import mapping

if TYPE_CHECKING:
    from tests.toolkit.cluster.conftest import Site

NO_SERVERS = {"services": {"medical-ai": {"replicas": {"min": 0}, "scale": None}}}
"""All six machines of the pool a100 are free."""
EXIT_CODE = "tiers.test/exit-code"
ATTEMPTS_OF_ONE_END = 2
"""Attempts that one end of a gang may cost: two were seen on a machine with forty others at work."""
NOT_HEARD_YET = ("unable to find job queue", "can only submit job to queue with state")
"""The webhook hears of a queue, and that it is open, a moment after the server has it."""


def job(
    workers: int, *, priority: str = "batch", queue: str | None = "research", gpus: int = 8, **more: object
) -> dict:
    """Give a job of tiers.yaml on the pool a100, six machines with eight GPUs each."""
    named = {} if queue is None else {"queue": queue}
    gang = {"workers": workers, "gpus_per_worker": gpus}
    return {"pool": "a100", "priority": priority, "gang": gang, "run": "python train.py", **named, **more}


@dataclass
class Gangs:
    """The jobs of a site."""

    site: Site
    wait_until: Callable[..., None]

    def apply(self) -> None:
        """Apply what is not submitted, and wait until its queues are open."""
        from toolkit.cluster.apply import apply

        site = self.site
        done = apply(site.connection, site.name, [each for each in site.objects if not each.submitted])
        assert done.failed == ()
        for each in site.objects:
            if each.kind == "Queue":
                path = f"/apis/scheduling.volcano.sh/v1beta1/queues/{each.name}"
                self.wait_until(lambda path=path: self._state(path) == "Open", f"{each.name} is open")

    def _state(self, path: str) -> object:
        return self.site.api.get(path).get("status", {}).get("state")

    def submit(self, name: str) -> None:
        """Create a job as it is rendered, as soon as the webhook knows too that its queue is open."""
        (body,) = [each.body for each in self.site.objects if each.submitted and each.name == name]

        def taken() -> bool:
            try:
                self.site.api.create(self.site.gang("").rstrip("/"), copy.deepcopy(dict(body)))
            except Refused as error:
                if not any(each in error.body for each in NOT_HEARD_YET):
                    raise
                return False
            return True

        self.wait_until(taken, f"{name} is taken")

    def delete(self, name: str) -> None:
        self.site.api.delete(self.site.gang(name))
        self.wait_until(lambda: not self.site.pods(name), f"{name} is gone")

    def placed(self, name: str, phase: str = "") -> dict[str, str]:
        """Give the machines of a job's pods that have one, are not on their way out, and are in this phase."""
        return {
            pod["metadata"]["name"]: pod["spec"]["nodeName"]
            for pod in self.site.pods(name)
            if pod["spec"].get("nodeName")
            and "deletionTimestamp" not in pod["metadata"]
            and phase in ("", pod["status"]["phase"])
        }

    def status(self, name: str) -> dict:
        return self.site.api.get(self.site.gang(name)).get("status", {})

    def phase(self, name: str) -> object:
        return mapping(self.status(name).get("state")).get("phase")

    def retries(self, name: str) -> int:
        return self.status(name).get("retryCount", 0)

    def wait_running(self, name: str, workers: int, seconds: float = 120) -> None:
        """Wait until all workers run; else show who holds what.

        What counts is what the pods say: with a busy machine the phase of a job was seen to stay Pending for a minute
        though its PodGroup and its pods ran.
        """
        runs = False
        try:
            self.wait_until(
                lambda: len(self.placed(name, phase="Running")) == workers,
                f"{name} runs with {workers} workers",
                seconds,
            )
            runs = True
        finally:
            if not runs:
                print(self.scene())

    def scene(self) -> str:
        """Say where each pod of the site is, devices left out, and what Volcano says of each gang."""
        groups = f"/apis/scheduling.volcano.sh/v1beta1/namespaces/{self.site.name}/podgroups"
        both = [*self.site.api.items(self.site.gang("").rstrip("/")), *self.site.api.items(groups)]
        lines = [f"{each['metadata']['name']}: {each.get('status')}" for each in both]
        for pod in self.site.api.items(f"/api/v1/namespaces/{self.site.name}/pods"):
            if "tiers-edge" not in pod["metadata"]["name"]:
                going = "deletionTimestamp" in pod["metadata"]
                where = (
                    f"{pod['spec'].get('nodeName')} {pod['status'].get('phase')} {'going' if going else ''}"
                )
                lines.append(f"{pod['metadata']['name']}: {where}")
        return "\n".join(lines)

    def wait_waiting(self, name: str) -> None:
        """Wait until none of its pods has a machine and Volcano has judged it."""
        self.wait_until(lambda: not self.placed(name) and self.judged(name), f"{name} waits")

    def judged(self, name: str) -> bool:
        """Whether Volcano has said that the gang does not fit."""
        return any(each["type"] == "Unschedulable" for each in self.group(name).get("conditions") or [])

    def group(self, name: str) -> dict:
        """Give the status of its PodGroup; empty when there is none yet."""
        groups = f"/apis/scheduling.volcano.sh/v1beta1/namespaces/{self.site.name}/podgroups"
        mine = [
            each for each in self.site.api.items(groups) if each["metadata"]["name"].startswith(f"{name}-")
        ]
        return mine[0].get("status", {}) if mine else {}

    def end(self, pod: str, code: int) -> None:
        """Let the container of a running pod end with an exit code."""
        self._annotate(pod, EXIT_CODE, str(code))

    def put_out(self, pod: str) -> None:
        """Let the machine of a running pod be short of memory and end the pod, as kubelet does."""
        self._annotate(pod, "tiers.test/evicted", "true")

    def _annotate(self, pod: str, key: str, value: str) -> None:
        path = f"/api/v1/namespaces/{self.site.name}/pods/{pod}"
        self.site.api.merge(path, {"metadata": {"annotations": {key: value}}})

    def uids(self, name: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.site.pods(name)}

    def servers(self) -> list[str]:
        """Give the machine of each server of the services, once all that are wanted have one."""
        path = f"/api/v1/namespaces/{self.site.name}/pods?labelSelector=tiers.dev/part-of=service"
        return [pod["spec"].get("nodeName", "") for pod in self.site.api.items(path)]
