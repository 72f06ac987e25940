"""Prune, history, rollback and delete as a person types them, on a real API server: output and exit codes."""

from __future__ import annotations

import json

import pytest
import yaml

from toolkit.cli import main

POOLS = {
    "labs": {"hardware": "jetson-orin-nano", "nodes": {"names": ["lab-01"]}},
    "wards": {"hardware": "jetson-orin-nx", "nodes": {"names": ["ward-01"]}},
}


@pytest.fixture
def options(tmp_path, hospital_text, plane, two_pools):
    """Give `options(pools)`: what every command takes, for a site with these pools whose machines are not there."""
    site = two_pools()
    file = tmp_path / "tiers.yaml"

    def write(
        pools: tuple[str, ...] = ("labs", "wards"), user: str = "tiers", **changes: object
    ) -> list[str]:
        document = yaml.safe_load(hospital_text) | {"name": site.name} | changes
        document["tiers"]["edge"]["pools"] = {name: POOLS[name] for name in pools}
        for name in ("models", "services", "jobs", "monitoring"):
            document.pop(name, None)
        file.write_text(json.dumps(document))
        return ["-f", str(file), "--kubeconfig", str(plane.write_kubeconfig(user))]

    return write


def test_an_apply_is_a_revision_and_what_is_not_wanted_is_shown_before_it_goes(options, capsys):
    assert main(["apply", *options(), "--yes"]) == 0
    assert "this is revision 1" in capsys.readouterr().err
    assert main(["apply", *options(), "--yes"]) == 0
    assert "revision" not in capsys.readouterr().err, "nothing changed"

    smaller = options(("wards",))
    assert main(["diff", *smaller, "--exit-code"]) == 8
    assert "prune DaemonSet" in capsys.readouterr().out
    assert main(["apply", *smaller, "--yes"]) == 0


def test_what_was_applied_is_listed_and_comes_back(options, capsys):
    assert main(["apply", *options(), "--yes"]) == 0
    smaller = options(("wards",))
    assert main(["apply", *smaller, "--yes"]) == 0
    capsys.readouterr()
    assert main(["history", *smaller, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["main"]
    assert [(each["number"], each["outcome"], each["counts"]) for each in told] == [
        (1, "complete", "11 created"), (2, "complete", "3 pruned"),
    ]  # fmt: skip
    assert main(["history", "1", *smaller, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["main"]) == 11

    assert main(["rollback", *smaller, "--dry-run"]) == 0
    assert "create DaemonSet" in capsys.readouterr().err
    assert main(["diff", *smaller, "--exit-code"]) == 0, "a dry run changes nothing"
    assert main(["rollback", *smaller]) == 2, "nobody to ask and no --yes"
    capsys.readouterr()
    assert main(["rollback", *smaller, "--yes"]) == 0
    assert "tiers.yaml still says otherwise" in capsys.readouterr().err
    assert main(["diff", *options(), "--exit-code"]) == 0
    assert main(["history", *smaller]) == 0
    assert "rollback of 1: 3 created" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rollback", "9"], 2, "there is no revision 9"),
        (["history", "9"], 2, "there is no revision 9"),
        (["rollback"], 2, "no complete revision before"),
        (["apply", "--prune-kind", "Secret"], 2, "other kinds go without it"),
        (["apply", "--no-prune", "--prune-kind", "Namespace"], 2, "contradict each other"),
        (["delete"], 2, "add --yes"),
    ],
)
def test_what_cannot_be_asked_for(options, capsys, words, code, said):
    assert main(["apply", *options(), "--yes"]) == 0
    capsys.readouterr()
    assert main([*words, *options()]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "try: " in told


def test_a_mass_deletion_is_refused_with_the_cure(options, capsys):
    assert main(["apply", *options(), "--yes"]) == 0
    few = options(("wards",), queues={}, priorities={})
    assert main(["apply", *few, "--yes"]) == 7
    told = capsys.readouterr().err
    assert "7 of the 11 objects" in told
    assert "--allow-mass-deletion" in told
    assert main(["apply", *few, "--yes", "--allow-mass-deletion"]) == 0


@pytest.mark.parametrize("command", ["diff", "apply", "delete", "history", "rollback"])
def test_a_guest_may_do_nothing_and_is_told_so(options, capsys, command):
    assert (
        main([command, *options(user="guest"), *(["--yes"] if command not in {"diff", "history"} else [])])
        == 1
    )
    told = capsys.readouterr().err
    assert "forbidden" in told
    assert "can-i" in told


def test_delete_shows_what_stays_and_is_harmless_twice(options, capsys):
    assert main(["apply", *options(), "--yes"]) == 0
    capsys.readouterr()
    assert main(["delete", *options(), "--yes"]) == 0
    told = capsys.readouterr()
    assert "stays: a Namespace goes only with --prune-kind Namespace" in told.err
    assert told.out.count("deleted") == 11, "ten members and the parent of the set"
    assert main(["delete", *options(), "--yes"]) == 0
    assert "deleted" not in capsys.readouterr().out
    assert main(["rollback", "1", *options(), "--yes"]) == 0, "the history stays with the Namespace"
    assert main(["diff", *options(), "--exit-code"]) == 0
    assert main(["delete", *options(), "--yes", "--namespace"]) == 0
