"""`tiers rollout …` and `tiers fleet status` as they are typed: a real broker, devices that answer by the book."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.toolkit.fleet.pretend import Device
from tests.toolkit.registry.making import make_site
from toolkit.fleet.steer import Steering
from toolkit.link.link import Arrived
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.keys import make_key, write_keyring
from toolkit.wire.report import Served
from toolkit.wire.topics import Topics

pytestmark = pytest.mark.broker
REPOSITORY = Path(__file__).parents[3]
DEVICES = ("box-1", "box-2", "box-3")
SITE_YAML = """
broker: {{url: "mqtt://127.0.0.1:{port}"}}
registry: {registry}
tiers:
  edge:
    pools:
      boxes: {{hardware: jetson-orin-nx, nodes: {{names: [{devices}]}}}}
models:
  digits:
    source: digits@1
    pools: [boxes]
    rollout: {{canary: 1, waves: [100%], soak: 0s, abort_if: {{error_rate: ">1%"}}}}
"""


@dataclass
class Typed:
    """A site on a real broker: `tiers(...)` types a command in its folder."""

    folder: Path
    port: int
    site: object
    devices: dict[str, Device] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)
    """Whether devices take what has come for them."""

    def tiers(self, *arguments: str, plain: bool = False) -> subprocess.CompletedProcess[str]:
        files = () if plain else ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml")
        command = [sys.executable, "-m", "toolkit.cli", *arguments, *files]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "300"}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        keys = ("--key", "keys/site.pem", "--keyring", "keyring.json", "--json")
        return self.tiers("rollout", "start", "digits", *arguments, *keys)

    def driver_process(self, log: str = "driver.log") -> subprocess.Popen[bytes]:
        files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml")
        keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
        command = [sys.executable, "-m", "toolkit.cli", "--verbose", "rollout", "run", *files, *keys]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with (self.folder / log).open("wb") as errors:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=errors)

    def link(self, name: str) -> PahoLink:
        return PahoLink(settings_from_url(f"mqtt://127.0.0.1:{self.port}", name))

    def run_devices(self) -> None:
        topics = Topics("medical-imaging")
        for name in DEVICES:
            device = Device(name, self.link(name), topics=topics, keyring=self.site.keyring)
            self.devices[name] = device.start()
        self.answering.set()
        self._thread(self._answer)

    def run_driver(self) -> None:
        topics = Topics("medical-imaging")
        driver = Steering(self.link("steer"), topics, self.site.key, self.site.keyring)
        self._thread(lambda: driver.run(self.stop))

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        for device in self.devices.values():
            device.link.close()

    def _thread(self, work) -> None:
        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()

    def _answer(self) -> None:
        while not self.stop.wait(0.01):
            for device in self.devices.values():
                if self.answering.is_set():
                    device.turn()

    def is_told(self) -> bool:
        """Say whether something has come for a device that it has not taken yet."""
        waiting = [each for device in self.devices.values() for each in tuple(device.link.events.queue)]
        return any(isinstance(each, Arrived) and each.payload for each in waiting)


@pytest.fixture
def typed(tmp_path: Path, mosquitto) -> Iterator[Typed]:
    """A registry with digits 1 and 2, keys, and a site.yaml over the hospital's; nobody steers or answers yet."""
    site = make_site(tmp_path)
    site.push(version="1", width=500)
    site.push(version="2", width=500, head=2)
    write_keyring(tmp_path / "keyring.json", site.keyring)
    text = SITE_YAML.format(
        port=mosquitto.port, registry=(tmp_path / "registry").as_uri(), devices=", ".join(DEVICES)
    )
    (tmp_path / "site.yaml").write_text(text)
    typed = Typed(tmp_path, mosquitto.port, site)
    yield typed
    typed.end()


def test_start_wait_status_and_back(typed: Typed) -> None:
    typed.run_devices()
    typed.run_driver()
    first = typed.start("--wait", "--timeout", "100s")
    assert first.returncode == 0, first.stderr
    assert "digits-1-1: SUCCEEDED, wave 2 of 2, 3 active" in first.stderr
    assert "drift" not in first.stderr
    second = typed.start("--version", "2", "--wait", "--timeout", "100s")
    assert second.returncode == 0, second.stderr
    assert "drift: tiers.yaml says digits 1, this rollout brings 2" in second.stderr
    answer = json.loads(second.stdout)
    assert answer["rollout"] == "digits-2-2"
    assert answer["waves"] == [1, 3]
    assert (answer["status"]["state"], answer["status"]["previous_version"]) == ("SUCCEEDED", "1")

    again = typed.start("--version", "2")
    assert again.returncode == 0
    assert json.loads(again.stdout)["repeated"] is True
    assert "digits-2-2 is there already" in again.stderr

    fleet = json.loads(typed.tiers("fleet", "status", "--json").stdout)
    assert [(row["device"], row["online"], row["serving_version"]) for row in fleet["devices"]] == [
        (name, True, "2") for name in DEVICES
    ]
    assert [row["state"] for row in fleet["rollouts"]] == ["SUCCEEDED", "SUPERSEDED"]

    late = typed.tiers("rollout", "rollback", "digits-1-1", "--key", "keys/site.pem")
    assert late.returncode == 1
    assert "tiers rollout rollback digits-2-2" in late.stderr
    back = typed.tiers(
        "rollout", "rollback", "digits-2-2", "--key", "keys/site.pem", "--keyring", "keyring.json"
    )
    assert back.returncode == 0, back.stderr
    table = typed.tiers("rollout", "status")
    assert "ROLL" in table.stdout


def test_a_refusal_gives_7_and_names_device_and_reason(typed: Typed) -> None:
    typed.run_devices()
    typed.run_driver()
    assert typed.start("--wait", "--timeout", "100s").returncode == 0
    for device in typed.devices.values():
        device.refuses_versions = {"2"}
    done = typed.start("--version", "2", "--wait", "--timeout", "100s")
    assert done.returncode == 7, done.stderr
    canary = json.loads(done.stdout)["devices"][0]
    assert f"refused by {canary} (golden-mismatch: output y is off by 0.9)" in done.stderr
    assert json.loads(done.stdout)["status"]["state"] == "FAILED"
    shown = typed.tiers("rollout", "status", "digits-2-2").stdout
    assert "golden-mismatch" in shown
    assert {device.serving["digits"] for device in typed.devices.values()} == {"1"}


def test_a_timeout_says_what_is_missing_and_what_to_type(typed: Typed, wait_until) -> None:
    nobody = typed.start("--wait", "--timeout", "1s")
    assert nobody.returncode == 1
    assert "nobody has told box-" in nobody.stderr
    assert "tiers rollout run" in nobody.stderr
    typed.run_driver()
    link = typed.link("listens")
    for name in DEVICES:
        link.subscribe(Topics("medical-imaging").desired(name), qos=1)
    link.connect()
    wait_until(lambda: any(isinstance(each, Arrived) for each in tuple(link.events.queue)), "it is told")
    link.close()
    silent = typed.start("--wait", "--timeout", "3s")
    assert silent.returncode == 1, silent.stderr
    assert "no answer from box-" in silent.stderr
    assert "try: tiers rollout status digits-1-1" in silent.stderr


def test_pause_resume_abort(typed: Typed) -> None:
    keys = ("--key", "keys/site.pem", "--json")
    assert typed.start().returncode == 0
    for word, action in [("pause", "PAUSED"), ("resume", "RUNNING"), ("abort", "ABORTED")]:
        done = typed.tiers("rollout", word, "digits-1-1", *keys)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"]["state"] == action
    resumed = typed.tiers("rollout", "resume", "digits-1-1", *keys)
    assert resumed.returncode == 1
    assert "was aborted" in resumed.stderr
    assert "try: tiers rollout start digits" in resumed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("start", "digit", "--key", "keys/site.pem"), 1, "did you mean 'digits'?"),
        (("start", "digits", "--key", "keys/site.pem", "--version", "9"), 1, "tiers model push"),
        (("start", "digits", "--key", "keys/site.pem", "--device", "box-9"), 1, "did you mean 'box-"),
        (("start", "digits", "--key", "nokey.pem"), 1, "tiers model keygen"),
        (("start", "digits"), 2, "--key"),
        (("start", "digits", "--key", "keys/site.pem", "--timeout", "soon"), 2, "--timeout"),
        (("status", "nothing"), 1, "there is no rollout 'nothing'"),
        (("abort", "nothing", "--key", "keys/site.pem"), 1, "there is no rollout 'nothing'"),
    ],
)
def test_what_is_not_there_is_told_with_a_cure(typed: Typed, arguments, code, words) -> None:
    done = typed.tiers("rollout", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr


def test_a_broker_that_is_away_gives_5_with_its_address(typed: Typed, free_port) -> None:
    port = free_port()
    done = typed.tiers("fleet", "status", "--broker", f"mqtt://127.0.0.1:{port}")
    assert done.returncode == 5
    assert f"the broker at 127.0.0.1:{port} cannot be reached" in done.stderr
    assert "refused" in done.stderr
    assert "try: start it, or name another one with --broker" in done.stderr


def test_a_wrong_tiers_yaml_gives_3(typed: Typed) -> None:
    (typed.folder / "wrong.yaml").write_text("models: {digits: {pools: [nowhere]}}\n")
    for words in (("rollout", "start", "digits", "--key", "keys/site.pem"), ("fleet", "status")):
        files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "wrong.yaml")
        done = typed.tiers(*words, *files, plain=True)
        assert done.returncode == 3
        assert "nowhere" in done.stderr


def test_another_operators_rollout_does_not_count(typed: Typed) -> None:
    make_key(typed.folder / "keys" / "stranger.pem")
    stranger = ("rollout", "start", "digits", "--key", "keys/stranger.pem")
    refused = typed.tiers(*stranger, "--keyring", "keyring.json")
    assert refused.returncode == 6
    assert "not trusted as operator" in refused.stderr
    assert typed.tiers(*stranger).returncode == 0, "whom the site trusts, only a keyring says"
    found = json.loads(typed.tiers("fleet", "status", "--keyring", "keyring.json", "--json").stdout)
    assert found["rollouts"] == []
    assert "not trusted as operator" in str(found["ignored"])


@pytest.mark.slow
def test_a_driver_as_a_process_is_interrupted_in_good_order(typed: Typed) -> None:
    typed.run_devices()
    driver = typed.driver_process()
    try:
        assert typed.start("--wait", "--timeout", "100s").returncode == 0
    finally:
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(60) == 0
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
    away = typed.tiers("rollout", "run", *keys, "--broker", "mqtt://127.0.0.1:1")
    assert away.returncode == 5
    assert "the broker at 127.0.0.1:1 cannot be reached" in away.stderr


@pytest.mark.slow
def test_a_driver_that_is_killed_between_waves_is_followed_by_another(typed: Typed, wait_until) -> None:
    typed.run_devices()
    (typed.folder / "slow.yaml").write_text("models: {digits: {rollout: {soak: 2s}}}\n")
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
    files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "slow.yaml")
    assert typed.tiers("rollout", "start", "digits", *keys, *files, plain=True).returncode == 0
    typed.answering.clear()  # the canary answers when the first driver is gone, else that one might go on
    first = typed.driver_process()
    wait_until(typed.is_told, "the canary is told")
    first.kill()
    first.wait(60)
    typed.answering.set()
    wait_until(lambda: any(device.serving for device in typed.devices.values()), "the canary has it")
    second = typed.driver_process()
    try:
        wait_until(lambda: all(device.serving for device in typed.devices.values()), "everybody has it")
    finally:
        second.terminate()
        assert second.wait(60) == 0
    assert [[desired.seq for desired in device.seen] for device in typed.devices.values()] == [[1], [1], [1]]
    assert len({device.obeyed[0].fence for device in typed.devices.values()}) == 2, "two drivers wrote"


@pytest.mark.slow
def test_a_wave_that_waits_for_a_word_gets_it_and_every_device_has_its_reason(
    typed: Typed, wait_until
) -> None:
    rules = 'waves: [{share: 2, approve: true}, 100%], abort_if: {refused: ">1"}'
    (typed.folder / "asks.yaml").write_text(f"models: {{digits: {{rollout: {{{rules}}}}}}}\n")
    files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "asks.yaml")
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
    typed.run_devices()
    typed.run_driver()
    begun = typed.tiers("rollout", "start", "digits", *keys, "--json", *files, plain=True)
    assert begun.returncode == 0, begun.stderr
    wait_until(
        lambda: "AWAITING_APPROVAL" in typed.tiers("rollout", "status", "digits-1-1").stdout, "it waits"
    )
    waits = typed.start("--wait", "--timeout", "0s")
    assert waits.returncode == 1, waits.stderr
    assert "waits for approval after wave 1 of 3" in waits.stderr
    assert "try: tiers rollout approve digits-1-1" in waits.stderr
    second = json.loads(waits.stdout)["devices"][1]
    typed.devices[second].refuses_versions = {"1"}
    said = typed.tiers("rollout", "approve", "digits-1-1", *keys, "--json")
    assert said.returncode == 0, said.stderr
    end = typed.start("--wait", "--timeout", "100s")
    assert end.returncode == 0, end.stderr
    shown = typed.tiers("rollout", "status", "digits-1-1").stdout
    assert "refused 1 of 3 devices, limit 1" in shown
    line = next(each for each in shown.splitlines() if each.startswith(second))
    assert line.split()[1:4] == ["2", "FAILED", "golden-mismatch"]
    assert sum(each.startswith("box-") for each in shown.splitlines()) == 1, "who has it is not shown"
    one = typed.tiers("rollout", "status", "--device", second, "--json")
    found = json.loads(one.stdout)["rollouts"][0]["answers"]
    assert [(each["device"], each["reason"]) for each in found] == [(second, "output y is off by 0.9")]
    nobody = typed.tiers("rollout", "status", "--device", "box-9")
    assert nobody.returncode == 1
    assert "did you mean 'box-" in nobody.stderr


@pytest.mark.slow
def test_a_driver_that_is_killed_after_it_took_a_version_back_is_followed_by_one_that_knows(
    typed: Typed, wait_until
) -> None:
    typed.run_devices()
    (typed.folder / "slow.yaml").write_text("models: {digits: {rollout: {soak: 10m}}}\n")
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
    files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "slow.yaml")
    first = typed.driver_process()
    try:
        assert typed.start("--wait", "--timeout", "100s").returncode == 0
        begun = typed.tiers(
            "rollout", "start", "digits", "--version", "2", "--json", *keys, *files, plain=True
        )
        canary = typed.devices[json.loads(begun.stdout)["devices"][0]]
        wait_until(lambda: canary.serving.get("digits") == "2", "the canary has it")
        canary.served = Served(requests=1000, failures=31)
        canary.report(canary.obeyed[-1])
        canary.served = Served()
        wait_until(lambda: canary.serving.get("digits") == "1", "it is taken back")
        wait_until(lambda: "digits-2-2: FAILED" in (typed.folder / "driver.log").read_text(), "it is over")
    finally:
        first.kill()
        first.wait(60)
    second = typed.driver_process("second.log")
    try:
        wait_until(lambda: "steering in term" in (typed.folder / "second.log").read_text(), "it steers")
        shown = typed.tiers("rollout", "status", "digits-2-2", "--keyring", "keyring.json", "--json")
        found = json.loads(shown.stdout)
        assert (found["state"], found["why"]) == ("FAILED", "error rate 3.1 % of 1,000 requests, limit 1 %")
        assert typed.start("--wait", "--timeout", "100s").returncode == 0, "the second one works"
    finally:
        second.terminate()
        assert second.wait(60) == 0
    told = {name for name, device in typed.devices.items() for seen in device.seen for each in seen.models
            if each.version == "2"}  # fmt: skip
    assert told == {canary.name}, "nobody is sent into the same again"


@pytest.mark.slow
def test_a_driver_that_wakes_up_after_another_began_stands_by(typed: Typed, wait_until) -> None:
    typed.run_devices()
    (typed.folder / "slow.yaml").write_text("models: {digits: {rollout: {soak: 2s}}}\n")
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json")
    files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "slow.yaml")
    assert typed.tiers("rollout", "start", "digits", *keys, *files, plain=True).returncode == 0
    typed.answering.clear()  # the canary answers when the first driver stands still, else that one might go on
    first = typed.driver_process()
    second = None
    try:
        wait_until(typed.is_told, "the canary is told")
        first.send_signal(signal.SIGSTOP)
        typed.answering.set()
        wait_until(lambda: any(device.serving for device in typed.devices.values()), "the canary has it")
        second = typed.driver_process("second.log")
        wait_until(lambda: all(device.serving for device in typed.devices.values()), "everybody has it")
        first.send_signal(signal.SIGCONT)
        wait_until(lambda: "stands by" in (typed.folder / "driver.log").read_text(), "the first knows")
    finally:
        for each in (first, second):
            if each is not None:
                each.send_signal(signal.SIGCONT)
                each.terminate()
                assert each.wait(60) == 0
    assert [[desired.seq for desired in device.seen] for device in typed.devices.values()] == [[1], [1], [1]]
    assert len({device.obeyed[0].fence for device in typed.devices.values()}) == 2, "two drivers wrote"


def test_settings_of_devices_roll_out_and_back_like_a_model(typed: Typed) -> None:
    site = typed.folder / "site.yaml"
    rollout = "{canary: 1, waves: [100%], soak: 0s}"
    settings = f"  device-settings: {{source: device-settings@1, pools: [boxes], rollout: {rollout}}}\n"
    site.write_text(site.read_text() + settings)
    for version, seconds in (("1", 60), ("2", 120)):
        (typed.folder / "settings.json").write_text(json.dumps({"format": 1, "report_seconds": seconds}))
        pushed = typed.tiers(
            "device", "configure", "settings.json", "--version", version, "--key", "keys/site.pem", "--json"
        )
        assert pushed.returncode == 0, pushed.stderr
        assert json.loads(pushed.stdout)["counter"] == int(version)
        assert "tiers rollout start device-settings" in pushed.stderr
    typed.run_devices()
    typed.run_driver()
    keys = ("--key", "keys/site.pem", "--keyring", "keyring.json", "--wait", "--timeout", "100s")
    for version in ("1", "2"):
        begun = typed.tiers("rollout", "start", "device-settings", "--version", version, *keys)
        assert begun.returncode == 0, begun.stderr
        assert {each.serving["device-settings"] for each in typed.devices.values()} == {version}
    back = typed.tiers("rollout", "rollback", "device-settings-2-2", *keys)
    assert back.returncode == 0, back.stderr
    assert {each.serving["device-settings"] for each in typed.devices.values()} == {"1"}

    (typed.folder / "settings.json").write_text('{"format": 1, "broker": "elsewhere"}')
    wrong = typed.tiers("device", "configure", "settings.json", "--version", "3", "--key", "keys/site.pem")
    assert wrong.returncode == 6
    assert "broker" in wrong.stderr


def test_devices_are_told_what_to_forget(typed: Typed) -> None:
    first = typed.tiers("fleet", "forget", "digits", "--label", "study-7", "--json")
    assert first.returncode == 0, first.stderr
    second = typed.tiers("fleet", "forget", "digits", "--pattern", "ct-*", "--json")
    assert json.loads(second.stdout)["after"] == json.loads(first.stdout)["mark"]
    wrong = typed.tiers("fleet", "forget", "digit")
    assert (wrong.returncode, "digits" in wrong.stderr) == (2, True)
