"""Every alert under the real engine, `promtool test rules`: it fires when it should, is quiet when it should, waits.

The rules are those of tests/golden/monitoring, a topology with every subject. That the cases are needed is shown by
breaking each rule in turn: never true, always true, without its `for`; each time the tests of that alert turn red.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.toolkit.render.monitoring import alert_cases
from tests.toolkit.render.monitoring.alert_cases import CASES, Fires, Silent
from toolkit.cli.app import COMMANDS
from toolkit.render.monitoring.dcgm import metrics_csv
from toolkit.render.monitoring.rules import ALERTS, groups
from toolkit.render.monitoring.series import BY_NAME, DCGM
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[4]
GOLDEN = REPOSITORY / "tests/golden"
RULES = GOLDEN / "monitoring/tiers-rules.yml"


@pytest.fixture(scope="module")
def promtool(require):
    require("prometheus")

    def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["promtool", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )

    return run


@pytest.fixture(scope="module")
def rules():
    return yaml.safe_load(RULES.read_text(encoding="utf-8"))


def severity_of(name: str) -> str:
    return next(each.severity for each in ALERTS if each.name == name)


def firing(case, at: int, *, wanted: bool) -> dict[str, object]:
    labels = case.labels | alert_cases.TOPOLOGY if wanted else {}
    labels = labels | {
        "__name__": "ALERTS",
        "alertname": case.alert,
        "alertstate": "firing",
        "severity": severity_of(case.alert),
    }
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    return {
        "expr": f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}',
        "eval_time": f"{at}m",
        "exp_samples": [{"labels": f"ALERTS{{{inside}}}", "value": 1}] if wanted else [],
    }


def written(case) -> dict[str, object]:
    questions = [firing(case, case.at, wanted=isinstance(case, Fires))]
    if isinstance(case, Fires) and case.early is not None:
        questions.append(firing(case, case.early, wanted=False))
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.inputs.items()],
        "promql_expr_test": questions,
    }


def write_tests(folder: Path, name: str, rules: object, cases) -> str:
    """Write rules and their tests; give the name of the file with the tests."""
    (folder / f"{name}.rules.json").write_text(json.dumps(rules))
    tests = {
        "rule_files": [f"{name}.rules.json"],
        "evaluation_interval": "1m",
        # Without it groups run in an order by chance, and an alert may see the record of the minute before.
        "group_eval_order": [group["name"] for group in rules["groups"]],
        "tests": [written(each) for each in cases],
    }
    (folder / f"{name}.test.json").write_text(json.dumps(tests))
    return f"{name}.test.json"


def test_every_alert_fires_is_quiet_and_waits(promtool, rules, tmp_path):
    done = promtool("test", "rules", write_tests(tmp_path, "all", rules, CASES), folder=tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_alert_has_a_firing_and_a_silent_case_and_one_that_waits():
    names = [each.name for each in ALERTS]
    assert len(names) == len(set(names))
    assert {each.alert for each in CASES if isinstance(each, Fires)} == set(names)
    assert {each.alert for each in CASES if isinstance(each, Silent)} == set(names)
    waiting = {each.name for each in ALERTS if each.hold != "0s"}
    assert {each.alert for each in CASES if isinstance(each, Fires) and each.early is not None} == waiting


def broken(rules, alert: str, **change: str | None):
    """Give the rules with one alert changed; None removes a key."""
    made = copy.deepcopy(rules)
    (rule,) = [each for group in made["groups"] for each in group["rules"] if each.get("alert") == alert]
    for key, value in change.items():
        rule.pop(key.rstrip("_"), None)
        if value is not None:
            rule[key.rstrip("_")] = value
    return made


@pytest.mark.slow
def test_each_case_is_needed(promtool, rules, tmp_path):
    files, expected = [], []
    for each in ALERTS:
        mine = [case for case in CASES if case.alert == each.name]
        breaks = {"never": {"expr": "vector(1) > 1"}, "always": {"expr": "vector(1)", "for_": None}}
        if each.hold != "0s":
            breaks["at-once"] = {"for_": None}
        for how, change in breaks.items():
            name = f"{each.name}.{how}"
            files.append(write_tests(tmp_path, name, broken(rules, each.name, **change), mine))
            expected.append(name)
    done = promtool("test", "rules", *files, folder=tmp_path)
    found = re.findall(r"Unit Testing:\s+(\S+)\.test\.json\s+(SUCCESS|FAILED)", done.stdout)
    assert dict(found) == dict.fromkeys(expected, "FAILED")


def test_each_silent_case_is_quiet_because_of_a_limit_and_not_for_want_of_input(rules):
    """Each input of a silent case belongs to a metric of the alert's own rule or of a record that it reads."""
    records = {
        rule["record"]: rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for case in CASES:
        if isinstance(case, Silent):
            expr = next(
                rule["expr"]
                for group in rules["groups"]
                for rule in group["rules"]
                if rule.get("alert") == case.alert
            )
            text = expr + " ".join(body for record, body in records.items() if record in expr)
            text += " ".join(body for record, body in records.items() if record in text)
            assert all(name.partition("{")[0] in text for name in case.inputs), case


def test_the_templates_name_labels_that_the_alert_has(rules):
    for group in rules["groups"]:
        for rule in group["rules"]:
            cases = [case for case in CASES if isinstance(case, Fires) and case.alert == rule.get("alert")]
            for case in cases:
                text = rule["annotations"]["summary"] + rule["annotations"]["description"]
                named = set(re.findall(r"\$labels\.(\w+)", text))
                assert named <= set(case.labels) | set(rule["labels"]), case.alert


def test_prometheus_and_alertmanager_take_the_files(promtool):
    """Of every golden: the rules, and for a Prometheus without an operator its own file too."""
    folders = sorted(path.parent for path in GOLDEN.glob("*/tiers-rules.yml"))
    assert len(folders) >= 3
    for folder in folders:
        assert promtool("check", "rules", "tiers-rules.yml", folder=folder).returncode == 0
        done = subprocess.run(["amtool", "check-config", folder / "alertmanager.yml"], check=False)
        assert done.returncode == 0
    # Without --syntax-only it looks for the token on this machine.
    plain = GOLDEN / "monitoring-files"
    done = promtool("check", "config", "--syntax-only", "prometheus.yml", folder=plain)
    assert done.returncode == 0, done.stdout
    assert promtool("check", "config", "--syntax-only", str(RULES), folder=plain).returncode == 1


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["tiers_topology=plain", "severity=critical"], "day,night"),
        (["tiers_topology=plain", "severity=warning"], "day"),
        (["tiers_topology=plain", "severity=info"], "day"),
        (["tiers_topology=another", "severity=critical"], "_nobody"),
    ],
)
def test_an_alert_goes_to_those_who_take_its_severity(require, labels, receivers):
    require("prometheus")
    file = GOLDEN / "monitoring-files/alertmanager.yml"
    command = ["amtool", "config", "routes", "test", f"--config.file={file}", *labels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, receivers), done.stderr


# ---------------------------------------------------------------- names that exist
def metrics_in(expr: str) -> set[str]:
    bare = re.sub(r'"[^"]*"', "", expr)
    return {
        name
        for name in re.findall(r"(?<![\w:$.])[a-zA-Z_][\w]*(?![\w:(])", bare)
        if name.startswith(("edge_", "DCGM_", "volcano_", "kube_", "tiers_sync_")) or name == "up"
    }


def test_every_metric_of_a_rule_is_in_the_list(rules):
    for group in rules["groups"]:
        for rule in group["rules"]:
            for name in metrics_in(rule["expr"]):
                base = re.sub(r"_(bucket|count|sum)$", "", name)
                assert name in BY_NAME or BY_NAME[base].kind == "histogram", name


def test_every_dcgm_metric_of_a_rule_is_in_the_csv(hospital):
    listed = {line.partition(",")[0] for line in metrics_csv(profiling=True).splitlines()}
    made = groups(hospital, hospital.monitoring, hospital.clusters)
    used = {name for group in made for rule in group.rules for name in metrics_in(rule.expr)}
    assert {name for name in used if name.startswith("DCGM_")} <= listed
    assert len({name for name in used if name.startswith("DCGM_")}) > 8
    assert listed == {name for name, each in BY_NAME.items() if each.source == DCGM}
    assert all(len(line.split(", ")) == 3 for line in metrics_csv(profiling=False).splitlines())
    assert "PROF" not in metrics_csv(profiling=False)


def test_the_commands_of_each_alert_exist():
    ours = {command.words for command in COMMANDS}
    for each in ALERTS:
        assert each.next
        for line in each.next:
            words = line.split()
            if words[0] == "tiers":
                assert words[1] in ours or " ".join(words[1:3]) in ours, line


# ---------------------------------------------------------------- no alert that cannot fire
def alerts_of(folder: str) -> set[str]:
    topology = load([GOLDEN / folder / "tiers.yaml"]).topology
    made = groups(topology, topology.monitoring, topology.clusters)
    return {rule.alert for group in made for rule in group.rules if rule.alert}


def test_a_topology_with_everything_has_every_alert():
    assert alerts_of("monitoring") >= {each.name for each in ALERTS}


def test_nothing_is_watched_that_prometheus_cannot_ask():
    """Devices alone: no figures of DCGM, Volcano or Kubernetes, so no alerts about them."""
    found = alerts_of("monitoring-files")
    assert {"TiersLatencyHigh", "TiersNodeOffline", "TiersGpuMemoryHigh"} <= found
    assert not found & {"TiersGpuEcc", "TiersGangStuck", "TiersNodeNotReady", "TiersServerUnreachable"}


def test_a_limit_that_is_not_written_makes_no_alert(topology):
    without = topology({"alerts": dict.fromkeys(("p99", "gpu_memory", "load_failures", "queue"))})
    made = groups(without, without.monitoring, without.clusters)
    found = {rule.alert for group in made for rule in group.rules}
    assert not found & {each.name for each in ALERTS if each.key and each.key != "alerts.node_offline"}
    assert {"TiersNodeNotReady", "TiersGpuEcc"} <= found
