from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.topology.load import load, load_texts
from toolkit.topology.start import START, write_start


def test_the_start_is_valid_without_a_warning():
    assert load_texts({"tiers.yaml": START}).warnings == ()


def test_every_example_in_a_comment_is_valid_too():
    text = "\n".join(
        line.replace("# ", "", 1)
        if line.lstrip().startswith(("# fallback", "# checkpoints", "# alerts"))
        else line
        for line in START.splitlines()
    ).replace("fallback: detector-lite ", "# fallback")
    loaded = load_texts({"tiers.yaml": text})
    assert loaded.topology.alerts.p99 is not None
    assert loaded.topology.jobs["train"].checkpoints is not None


def test_it_writes_the_file_and_its_schema(tmp_path):
    file, schema = write_start(tmp_path)
    assert load([file]).topology.name == "my-site"
    assert schema.name in START.splitlines()[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiers.schema.json", "tiers.yaml"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "tiers.yaml").write_text("mine")
    with pytest.raises(UsageError, match="already there"):
        write_start(tmp_path)
    assert (tmp_path / "tiers.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["tiers.yaml"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        write_start(tmp_path / "nowhere")
