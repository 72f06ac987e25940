"""Whatever stands in a file, loading gives a site or a TopologyError with every problem, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from toolkit.errors import Problem, TopologyError
from toolkit.topology.load import examine, load, load_texts

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLE = (REPOSITORY / "tiers.yaml").read_text()
LINES = EXAMPLE.splitlines(keepends=True)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def problems_of(text: str, over: str = "") -> tuple[Problem, ...]:
    """Load a text; what comes out is a site, or problems with a place, a reason and a cure."""
    try:
        return load_texts({"f.yaml": text, "over.yaml": over}).warnings
    except TopologyError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert re.fullmatch(r"[EW]\d{4}", problem.code)
        assert problem.message
        assert problem.why
        assert problem.cure
    return problems


@quick
@given(st.text(max_size=200))
@example("\x00")
@example("\ud800: 1")
@example("? ? ? a")
@example("a: !!binary x")
@example("%YAML 9.9\n---\na: 1")
@example("- - - - a")
@example("{" * 300)
def test_any_text(text):
    problems_of(text)


@quick
@given(
    st.lists(
        st.sampled_from([*"{}[],:-#&*!|>'\"%@`~?\n\t ", "a", "tiers", "1", "no", "${", "<<"]), max_size=60
    )
)
def test_any_row_of_yaml_signs(signs):
    problems_of("".join(signs))


CHANGES = {
    "left out": "",
    "twice": "{line}{line}",
    "too far in": "  {line}",
    "without a value": "{key}:\n",
    "a list": "{key}: [1, two]\n",
    "a number": "{key}: 7\n",
    "a text": "{key}: something\n",
    "keys": "{key}: {{a: 1, path: 2, run: [3], from: edge}}\n",
    "an open bracket": "{key}: [\n",
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_example_with_any_one_line_changed(change):
    for number, line in enumerate(LINES):
        changed = CHANGES[change].format(line=line, key=line.partition(":")[0])
        problems_of("".join([*LINES[:number], changed, *LINES[number + 1 :]]))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SECTIONS = re.findall(r"^([a-z]+):", EXAMPLE, re.MULTILINE)


@quick
@given(st.sampled_from(SECTIONS), values)
def test_the_example_with_one_section_replaced(section, value):
    problems_of(EXAMPLE, over=f"{section}: {json.dumps(value)}\n")


def test_the_worked_example_is_valid_without_a_warning(hospital):
    assert hospital.warnings == ()
    assert set(hospital.topology.tiers) == {"edge", "hot", "warm", "cold"}
    assert set(hospital.topology.routes) == {"frames", "checkpoints", "archive", "recall", "mirror"}
    assert hospital.topology.models["us-segmentation"].version == "1.4.0"


def test_files_that_cannot_be_read_are_all_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: \u00e4\n".encode("latin-1"))
    with pytest.raises(TopologyError) as caught:
        load([tmp_path / "nowhere.yaml", tmp_path / "latin.yaml", tmp_path])
    found = {Path(problem.place.where).name: problem for problem in caught.value.problems}
    assert {problem.code for problem in found.values()} == {"E0112"}
    assert set(found) == {"nowhere.yaml", "latin.yaml", tmp_path.name}
    assert (found["latin.yaml"].place.line, found["latin.yaml"].place.column) == (1, 7)
    assert caught.value.hint == "tiers init"


def test_problems_come_in_the_order_of_files_and_lines():
    with pytest.raises(TopologyError) as caught:
        load_texts({"b.yaml": "alerts: {p99: 5}\nname: A\n", "a.yaml": "alerts: {queue: x}\n"})
    places = [str(problem.place) for problem in caught.value.problems if problem.code != "E0202"]
    assert places == ["b.yaml:1:15", "b.yaml:2:7", "a.yaml:1:17"]


def test_the_order_of_keys_does_not_matter():
    root = load_texts({"f": EXAMPLE}).topology
    blocks = re.split(r"\n(?=[a-z])", EXAMPLE.split("\n\n", 1)[1])
    assert load_texts({"f": "\n".join(reversed(blocks)) + "\n"}).topology == root


def test_examine_counts_what_is_there_and_says_whether_it_is_valid(tmp_path):
    examined = examine([REPOSITORY / "tiers.yaml"])
    assert examined.valid
    assert examined.counts["machines"] == 146
    assert examined.counts["gpus"] == 178
    assert not examine([tmp_path / "nowhere.yaml"]).valid


def test_a_byte_order_mark_is_not_a_key(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())
    assert load([tmp_path / "f.yaml"]).warnings == ()


def test_windows_line_ends_do_not_move_places():
    problems = problems_of(EXAMPLE.replace("canary: 2", "canary: x").replace("\n", "\r\n"))
    line = next(number for number, text in enumerate(EXAMPLE.splitlines(), 1) if "canary: 2" in text)
    assert [(p.code, p.place.line, p.place.column) for p in problems] == [("E0306", line, 15)]
