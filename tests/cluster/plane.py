"""A real Kubernetes on loopback: etcd, API server, controllers, schedulers, Volcano with its webhook, KWOK.

Every program is a process with a free port, its own certificate and a log; nothing is shared with anything else on the
machine. The users: `admin` for fixtures, `tiers` for the code under test, so that the audit log tells its writes apart.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.cluster.api import Api, Refused
from tests.cluster.certificates import Authority
from tests.cluster.process import Process
from tests.ports import free_ports
from toolkit.render.scheduler import CONFIG_KEY, scheduler_config
from toolkit.topology.load import load

HERE = Path(__file__).resolve().parent
CONTROLLERS = (
    "namespace-controller,serviceaccount-controller,garbage-collector-controller,node-lifecycle-controller,"
    "taint-eviction-controller,job-controller,daemonset-controller,deployment-controller,replicaset-controller,"
    "statefulset-controller,resourcequota-controller,disruption-controller,horizontal-pod-autoscaler-controller"
)
HOOKS = {  # path of Volcano's webhook -> (group, version, resource, operations), as its chart has them
    "/jobs/mutate": ("batch.volcano.sh", "v1alpha1", "jobs", ["CREATE"]),
    "/jobs/validate": ("batch.volcano.sh", "v1alpha1", "jobs", ["CREATE", "UPDATE"]),
    "/queues/mutate": ("scheduling.volcano.sh", "v1beta1", "queues", ["CREATE"]),
    "/queues/validate": ("scheduling.volcano.sh", "v1beta1", "queues", ["CREATE", "UPDATE", "DELETE"]),
    "/cronjobs/validate": ("batch.volcano.sh", "v1alpha1", "cronjobs", ["CREATE", "UPDATE"]),
    "/jobflows/validate": ("flow.volcano.sh", "v1alpha1", "jobflows", ["CREATE", "UPDATE"]),
    "/hypernodes/validate": ("topology.volcano.sh", "v1alpha1", "hypernodes", ["CREATE", "UPDATE"]),
    "/podgroups/validate": ("scheduling.volcano.sh", "v1beta1", "podgroups", ["CREATE"]),
}
HOOK_SECONDS = 30
"""How long the server waits for a webhook: as long as it can, and not ten seconds, which a busy machine may take."""
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"]}
TIERS_YAML = HERE.parents[1] / "tiers.yaml"
FAST = ("--kube-api-qps=500", "--kube-api-burst=1000")


class Plane:
    """The whole control plane; `start` brings it up, `stop` ends everything it started."""

    context = "hospital"

    def __init__(self, folder: Path, crds: Path, scheduler_conf: Path | None = None) -> None:
        """Keep everything in `folder`; Volcano's scheduler goes by `scheduler_conf`, else as the hospital has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.crds = folder, crds
        self.scheduler_conf = scheduler_conf or folder / "scheduler-conf" / CONFIG_KEY
        self.processes: list[Process] = []
        self.took: dict[str, float] = {}
        self.authority = Authority(folder)
        self.tokens = {user: secrets.token_hex(16) for user in ("admin", "system", "tiers", "guest")}
        (self.etcd_port, self.peer_port, port, *self.ports) = free_ports(12)
        self.metrics_ports = tuple(self.ports[7:9])
        """Where Volcano's scheduler and its controllers answer Prometheus."""
        self.url = f"https://127.0.0.1:{port}"
        self.api = self.user("admin")
        self.kubeconfig = self.write_kubeconfig("tiers")
        self.audit_log = folder / "audit.log"

    def user(self, name: str) -> Api:
        """Give a client for a user: admin, tiers (masters both) or guest (may do nothing)."""
        return Api(self.url, self.tokens[name], self.authority.ca)

    # ------------------------------------------------------------ start and stop
    def start(self, *, alone: bool = False) -> None:
        """Start everything and wait until it works; alone: only the API server with its store and the CRDs."""
        begin = time.monotonic()
        try:
            self._start_etcd()
            self._start_api_server()
            self.took["api server"] = time.monotonic() - begin
            if not alone:
                self._start_controllers()
            self.install_crds(("volcano", "kubeedge", "keda", "vpa", "prometheus-operator"))
            self.took["crds"] = time.monotonic() - begin
            if not alone:
                self._start_volcano()
        except BaseException:
            self.stop()
            raise
        self.took["all"] = time.monotonic() - begin

    def stop(self) -> None:
        """End every program: the API server after its clients, etcd last, because the server waits long for it."""
        for process in self.processes[2:]:
            process.ask_to_end()
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()

    def tails(self) -> str:
        """Give the ends of all logs, for a failure."""
        return "\n".join(process.tail() for process in self.processes)

    def _run(self, program: str, *flags: str, name: str = "") -> Process:
        process = Process(program, *flags, folder=self.folder, name=name)
        self.processes.append(process)
        return process

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        etcd = self._run(
            "etcd",
            "--name=t",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=t={peer}",
            "--unsafe-no-fsync",
        )
        etcd.wait_ready(lambda: _answers(f"{client}/health"))

    def _start_api_server(self) -> None:
        certificate, key = self.authority.server("apiserver")
        tokens, audit = self.folder / "tokens.csv", self.folder / "audit-policy.yaml"
        rows = [
            f'{token},{user},{user},"{"devs" if user == "guest" else "system:masters"}"'
            for user, token in self.tokens.items()
        ]
        tokens.write_text("\n".join(rows) + "\n")
        rules = [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
            {"level": "Metadata", "users": ["tiers"]},
            {"level": "None"},
        ]
        audit.write_text(json.dumps(AUDIT | {"rules": rules}))
        server = self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.authority.ca}",
            f"--token-auth-file={tokens}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.authority.account_key}",
            f"--service-account-signing-key-file={self.authority.account_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged=true",
            "--authorization-mode=RBAC",
            "--profiling=false",
            "--endpoint-reconciler-type=none",
            f"--audit-policy-file={audit}",
            f"--audit-log-path={self.audit_log}",
        )
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        server.wait_ready(lambda: _answers(f"{self.url}/readyz", self.authority.ca, headers))

    def _start_controllers(self) -> None:
        config = self.write_kubeconfig("system")
        manager_port, scheduler_port, kwok_port = self.ports[:3]
        flags = (
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        )
        self._run(
            "kube-controller-manager",
            *flags,
            f"--secure-port={manager_port}",
            f"--service-account-private-key-file={self.authority.account_key}",
            f"--root-ca-file={self.authority.ca}",
            "--use-service-account-credentials=false",
            f"--cert-dir={self.folder / 'manager'}",
            f"--controllers={CONTROLLERS}",
            "--horizontal-pod-autoscaler-sync-period=1s",  # of 15 s, so that a test sees more of it
            "--resource-quota-sync-period=5s",  # of 5 min: when pods are refused fast, too much is counted until then
            *FAST,
        )
        self._run(
            "kube-scheduler",
            *flags,
            f"--secure-port={scheduler_port}",
            f"--cert-dir={self.folder / 'scheduler'}",
            *FAST,
        )
        self._run(
            "kwok",
            f"--kubeconfig={config}",
            "--manage-all-nodes=true",
            f"--config={HERE / 'stages.yaml'}",
            f"--config={HERE / 'stages-life.yaml'}",
            "--cidr=10.9.0.0/16",
            "--node-ip=127.0.0.1",
            f"--server-address=127.0.0.1:{kwok_port}",
            "--node-lease-duration-seconds=40",
        )

    def _start_volcano(self) -> None:
        config = self.write_kubeconfig("system")
        scheduler, controllers, hook, hook_health = self.ports[3:7]
        if not self.scheduler_conf.exists():
            self.scheduler_conf.parent.mkdir()  # its own: the scheduler reads again at any change in that folder
            self.scheduler_conf.write_text(scheduler_config(load([TIERS_YAML]).topology))
        shared = (f"--kubeconfig={config}", "--enable-healthz=true", *FAST)
        running = {
            self._run(
                "vc-scheduler",
                *shared,
                "-v=2",  # says when it has read its configuration
                "--leader-elect=false",
                f"--scheduler-conf={self.scheduler_conf}",
                "--disable-default-scheduler-config=true",
                "--schedule-period=200ms",
                f"--healthz-address=127.0.0.1:{scheduler}",
                "--enable-metrics=true",
                f"--listen-address=127.0.0.1:{self.metrics_ports[0]}",
                "--cache-dumper=false",
                "--plugins-dir=",
            ): scheduler,
            self._run(
                "vc-controller-manager",
                *shared,
                "--leader-elect=false",
                f"--healthz-address=127.0.0.1:{controllers}",
                "--enable-metrics=true",
                f"--listen-address=127.0.0.1:{self.metrics_ports[1]}",
            ): controllers,
        }
        certificate, key = self.authority.server("webhook")
        with suppress(Refused):
            self.api.create("/api/v1/namespaces", {"metadata": {"name": "volcano-system"}})
        self._register_hooks(hook)
        running[
            self._run(
                "vc-webhook-manager",
                *shared,
                f"--port={hook}",
                "--listen-address=127.0.0.1",
                f"--webhook-url=https://127.0.0.1:{hook}",
                f"--enabled-admission={','.join(HOOKS)}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--ca-cert-file={self.authority.ca}",
                f"--healthz-address=127.0.0.1:{hook_health}",
            )
        ] = hook_health
        for process, port in running.items():
            secure = (
                port == hook_health
            )  # the webhook serves its health with its certificate, the others without
            url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/healthz"
            process.wait_ready(lambda url=url: _answers(url, self.authority.ca))
        self.scheduler = next(iter(running))
        self.scheduler.wait_ready(self._default_queue_is_open)
        self.processes[-1].wait_ready(self._hooks_are_asked)
        self.scheduler.wait_ready(self._default_account_is_there)

    def _default_queue_is_open(self) -> bool:
        queues = self.api.items("/apis/scheduling.volcano.sh/v1beta1/queues")
        return any(
            each["metadata"]["name"] == "default" and each.get("status", {}).get("state") == "Open"
            for each in queues
        )

    def _hooks_are_asked(self) -> bool:
        """See that the webhook says yes and no: it tells that it is healthy before it listens and knows a queue.

        A PodGroup, because its hook is the last that is registered: who knows that one knows them all.
        """
        group = "scheduling.volcano.sh/v1beta1"
        body = {"apiVersion": group, "kind": "PodGroup", "metadata": {"name": "asked"}}
        said = []
        for queue in ("default", "of-nobody"):
            try:
                place = f"/apis/{group}/namespaces/default/podgroups?dryRun=All"
                self.api.create(place, {**body, "spec": {"queue": queue}})
                said.append("")
            except Refused as error:
                said.append(error.body)
        return said[0] == "" and "unable to find queue" in said[1]

    def _default_account_is_there(self) -> bool:
        """See that the controllers run: without its account a namespace takes no pods."""
        return not self.api.gone("/api/v1/namespaces/default/serviceaccounts/default")

    def _register_hooks(self, port: int) -> None:
        bundle = base64.b64encode(self.authority.ca.read_bytes()).decode()
        for path, (group, version, resource, operations) in HOOKS.items():
            kind = "Mutating" if path.endswith("mutate") else "Validating"
            name = "volcano-admission-service" + path.replace("/", "-")
            rule = {
                "apiGroups": [group],
                "apiVersions": [version],
                "resources": [resource],
                "operations": operations,
            }
            hook = {
                "name": f"{path[1:].replace('/', '-')}.volcano.sh",
                "clientConfig": {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle},
                "rules": [rule],
                "admissionReviewVersions": ["v1"],
                "sideEffects": "NoneOnDryRun",
                "timeoutSeconds": HOOK_SECONDS,
                "failurePolicy": "Fail",
            }
            place = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations"
            self.api.create(place, {"metadata": {"name": name}, "webhooks": [hook]})

    # ------------------------------------------------------------ what tests ask for
    @contextmanager
    def scheduled_by(self, config: str) -> Iterator[None]:
        """Let Volcano's scheduler go by another configuration for a while."""
        before = self.scheduler_conf.read_text()
        self._schedule_by(config)
        try:
            yield
        finally:
            self._schedule_by(before)

    def _schedule_by(self, config: str) -> None:
        """Give the scheduler a configuration and wait until it has read it."""
        if config == self.scheduler_conf.read_text():
            return
        said = len(self.scheduler.log.read_bytes())
        whole = self.folder / "next.conf"
        whole.write_text(config)
        whole.replace(self.scheduler_conf)  # a file that is half there would end the scheduler
        names = " ".join(each.strip() for each in yaml.safe_load(config)["actions"].split(","))
        self.scheduler.wait_ready(
            lambda: f"actions=[{names}]".encode() in self.scheduler.log.read_bytes()[said:]
        )

    def write_kubeconfig(self, user: str) -> Path:
        """Write a kubeconfig for a user; its context is `context`, as the hospital calls it."""
        path = self.folder / f"{user}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.authority.ca)}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": self.context,
                    "clusters": [{"name": self.context, "cluster": cluster}],
                    "users": [{"name": user, "user": {"token": self.tokens[user]}}],
                    "contexts": [{"name": self.context, "context": {"cluster": self.context, "user": user}}],
                }
            )
        )
        path.chmod(0o600)
        return path

    def install_crds(self, projects: Iterable[str]) -> None:
        """Install the CRDs of these projects as their files are, and wait until the server serves them."""
        place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        texts = [text for project in projects for text in _documents(self.crds / project)]
        named = {re.search(r"^  name: (\S+)", text, re.MULTILINE)[1].strip("\"'"): text for text in texts}
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda each: self.api.apply(f"{place}/{each[0]}", each[1].encode()), named.items()))
        self.processes[1].wait_ready(
            lambda: all(
                _established(each) for each in self.api.items(place) if each["metadata"]["name"] in named
            )
        )

    def forget(self, topology: str) -> None:
        """Take away what a topology has outside its namespace; a queue left behind keeps machines for itself."""
        places = (
            "scheduling.volcano.sh/v1beta1/queues",
            "apps.kubeedge.io/v1alpha1/nodegroups",
            "topology.volcano.sh/v1alpha1/hypernodes",
        )
        for place in places:  # Volcano's webhook takes no collection
            mine = self.api.items(f"/apis/{place}?labelSelector=tiers.dev/topology={topology}")
            # A queue with queues below it stays.
            for item in sorted(mine, key=lambda each: each["spec"].get("parent", "root") == "root"):
                self._remove(f"/apis/{place}/{item['metadata']['name']}")

    def _remove(self, path: str) -> None:
        """Delete what Volcano's webhook may refuse for a moment: it hears later of queues that are there, or gone."""

        def gone() -> bool:
            try:
                self.api.delete(path)
            except Refused as error:
                return error.code == 404 and self.api.gone(path)
            return True

        self.processes[-1].wait_ready(gone, 60)

    def create_all(self, place: str, objects: Iterable[dict[str, Any]]) -> None:
        """Create many objects of one kind at once."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda body: self.api.create(place, body), objects))

    def _settle(self) -> None:
        """Wait until the audit log has what was answered: the server writes a line after its answer is out."""
        marker = f"marker-{secrets.token_hex(8)}"
        body = {"metadata": {"name": marker}}
        self.api.request("POST", f"/api/v1/namespaces?dryRun=All&fieldManager={marker}", body)
        log = self.processes[1]
        log.wait_ready(lambda: marker in self.audit_log.read_text())

    def audited(self) -> list[dict[str, Any]]:
        """Give what the audit log has, line by line; one that is being written is not one yet."""
        whole, _, _ = self.audit_log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def writes(self, user: str = "tiers") -> list[tuple[str, str]]:
        """Give what a user has asked to be changed since the start: verb and path, from the server's audit log."""
        self._settle()
        changing = {"create", "update", "patch", "delete", "deletecollection"}
        return [
            (each["verb"], each["requestURI"])
            for each in self.audited()
            if each["user"]["username"] == user
            and each["verb"] in changing
            and each["stage"] == "ResponseComplete"
        ]


def _documents(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.yaml")):
        yield from (
            text for text in re.split(r"^---$", path.read_text(), flags=re.MULTILINE) if "kind:" in text
        )


def _established(crd: dict[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _answers(url: str, ca: Path | None = None, headers: dict[str, str] | None = None) -> bool:
    pool = urllib3.PoolManager(ca_certs=str(ca)) if ca else urllib3.PoolManager()
    try:
        with pool:
            return pool.request("GET", url, headers=headers, timeout=2.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
