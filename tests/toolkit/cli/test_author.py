"""Which commit a tiers.yaml is of, by real git."""

from __future__ import annotations

import subprocess

from toolkit.cli.author import author_of, commit_of


def git(folder, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_of_a_file_and_a_plus_when_it_was_edited(tmp_path):
    file = tmp_path / "tiers.yaml"
    file.write_text("version: 1\n")
    assert commit_of(file) == "", "no repository"
    git(tmp_path, "init", "-q")
    (tmp_path / "other").write_text("")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-q", "-m", "other")
    assert commit_of(file) == "", "not in git"
    git(tmp_path, "add", "tiers.yaml")
    git(tmp_path, "commit", "-q", "-m", "tiers")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(file) == head[:12]
    file.write_text("version: 1 \n")
    assert commit_of(file) == head[:12] + "+"


def test_the_author_has_a_user_and_a_machine(tmp_path):
    author = author_of(tmp_path / "tiers.yaml", rollback_of=3)
    user, _, machine = author.user.partition("@")
    assert user
    assert machine
    assert author.rollback_of == 3
