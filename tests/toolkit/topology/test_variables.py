from __future__ import annotations

from toolkit.topology.explain import explain


def test_a_default_is_filled_in(over_site):
    loaded = over_site("variables: {host: registry.example}\nimages:\n  edge: ${host}/edge:2\n")
    assert loaded.topology.images.edge == "registry.example/edge:2"
    assert loaded.topology.variables == {"host": "registry.example"}


def test_set_beats_the_default_and_gives_a_value_to_one_without(over_site):
    text = "variables: {host: registry.example, tag: }\nimages:\n  edge: ${host}/edge:${tag}\n"
    loaded = over_site(text, host="other.example", tag="3")
    assert loaded.topology.images.edge == "other.example/edge:3"
    assert [str(each.place) for each in explain(loaded, "variables.host")] == ["--set host"]
    assert [layer.value for layer in explain(loaded, "variables.host")[0].replaced] == ["registry.example"]


def test_a_plain_word_becomes_a_number_and_a_quoted_one_stays_text(over_site, problems_of):
    loaded = over_site("variables: {most: 100}\nalerts:\n  queue: ${most}\n")
    assert loaded.topology.alerts.queue == 100
    assert problems_of("variables: {most: 100}\nalerts:\n  queue: '${most}'\n") == [
        "3:10 E0204 'queue' takes a whole number, not '100'"
    ]


def test_two_dollars_are_left_for_the_shell(over_site):
    loaded = over_site(
        "jobs:\n  train: {pool: gpu, gang: {workers: 1}, run: [sh, -c, 'echo $${RANK} $HOME'] }\n"
    )
    assert loaded.topology.jobs["train"].run == ("sh", "-c", "echo ${RANK} $HOME")


def test_what_a_variable_brings_is_read_as_strictly_as_what_is_written(problems_of):
    found = problems_of("variables: {most: 100}\nalerts:\n  queue: ${most}\n", most="010")
    assert found == [
        "3:10 E0107 '010' without quotes is not the same number to all tools (after '${most}' was filled in)"
    ]


def test_references_that_cannot_be_filled_in_are_all_named_once(problems_of):
    text = "variables: {a: 1, b: , c: '${a}'}\nalerts:\n  queue: ${nope}\n  p99: ${b}ms\n  gpu_memory: ${a\n"
    assert problems_of(text) == [
        "1:27 E0117 the default of 'c' uses another variable",
        "3:10 E0114 the variable 'nope' is not declared",
        "4:8 E0115 the variable 'b' has no value",
        "5:15 E0117 '${' is not followed by NAME}",
    ]


def test_a_variable_takes_one_value(problems_of):
    assert problems_of("variables: {a: [1]}\n") == [
        "1:16 E0204 a variable takes one value, not keys or a list"
    ]


def test_keys_are_not_filled_in(problems_of):
    assert problems_of("variables: {a: queue}\nalerts:\n  ${a}: 1\n") == [
        "3:3 E0201 '${a}' is not a key of alerts"
    ]


def test_a_name_of_a_variable_is_checked(problems_of):
    assert problems_of("variables: {a-b: 1}\n") == [
        "1:13 E0316 'a-b' is not the name of a variable: use letters, digits and _"
    ]
