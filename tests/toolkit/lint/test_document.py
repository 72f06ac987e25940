"""Objects keep the positions that they had in their file."""

from __future__ import annotations

import pytest

from toolkit.errors import TiersError
from toolkit.lint import document
from toolkit.lint.check import lint
from toolkit.lint.document import from_files, from_text

JOB = """\
# two objects in one file
apiVersion: v1
kind: Namespace
metadata: {name: research}
---
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata:
  name: train
spec:
  ttlSecondsAfterFinished: 60
  minAvailable: 1
  policies:
    - event: PodPending
      action: RestartJob
  tasks:
    - name: worker
      replicas: 2
      template:
        spec:
          containers: []
"""


def test_a_finding_names_file_line_and_column():
    found = {problem.code: str(problem.place) for problem in lint(from_text(JOB, "job.yaml"))}
    assert found["L111"] == "job.yaml:12:3"
    assert found["L115"] == "job.yaml:14:7"
    assert found["L112"] == "job.yaml:14:5"


def test_findings_of_an_object_come_in_order_of_place():
    lines = [problem.place.line for problem in lint(from_text(JOB, "job.yaml"))]
    assert lines == sorted(lines)
    assert len(lines) == 5


def test_a_place_that_is_not_there_is_the_nearest_one_that_is():
    namespace, job = from_text(JOB, "job.yaml")
    assert str(job.place(("spec", "tasks", 0, "template", "spec", "volumes", 3))).startswith("job.yaml:21:")
    assert str(namespace.place(("spec",))) == "job.yaml:2:1"


def test_the_items_of_a_list_are_objects():
    items = "\n".join("  " + line for line in JOB.split("---\n")[1].splitlines())
    text = f"apiVersion: v1\nkind: List\nitems:\n- {items[2:]}\n"
    assert [each.title for each in from_text(text, "list.yaml")] == ["Job train"]


def test_json_is_read_too():
    (pod,) = from_text(
        '{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "n"}}', "p.json"
    )
    assert pod.title == "Pod n/p"


@pytest.mark.parametrize(
    "text", ["a: [", "a: b\n- c", "%TAG ! x\n", "\x00", "kind: !!python/object:os.system x"]
)
def test_what_is_no_yaml_is_refused_with_its_place(text):
    with pytest.raises(TiersError, match=r"bad\.yaml"):
        from_text(text, "bad.yaml")


def test_documents_that_are_no_objects_are_passed_over():
    assert from_text("---\n- 1\n---\nplain\n---\n{a: 1}\n---\n", "x.yaml") == ()


def test_folders_are_read_in_order_of_name(tmp_path):
    (tmp_path / "b").mkdir()
    for name, kind in (("b/z.yml", "Z"), ("a.yaml", "A"), ("c.json", "C"), ("note.txt", "No")):
        (tmp_path / name).write_text(f'{{"kind": "{kind}"}}')
    assert [each.kind for each in from_files([tmp_path])] == ["A", "Z", "C"]


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(TiersError, match=r"gone\.yaml"):
        from_files([tmp_path / "gone.yaml"])
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TiersError, match=r"binary\.yaml"):
        from_files([tmp_path])


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    big = tmp_path / "big.yaml"
    with big.open("wb") as file:
        file.truncate(document.LARGEST_FILE + 1)
    with pytest.raises(TiersError, match="larger than"):
        from_files([big])
