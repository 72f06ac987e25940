"""Which fault has which test: the list below is what this project promises to survive, and each line names its proof.

Here stands the table, and two tests that keep it true: every test that it names exists, and of every fault at least one
seed runs in `make test`. Not here: what an outbox of telemetry survives, as there is none yet.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEVICE = HERE.parent
FAULTS: dict[str, tuple[str, ...]] = {
    "SIGKILL of the device at 20 random points": (
        "faults/test_kills.py::test_twenty_kills_at_random_points_of_a_transfer",
    ),
    "SIGKILL in each state, on both sides of each durable write": (
        "faults/test_kills.py::test_a_kill_on_both_sides_of_each_durable_write",
        "test_with_depot.py::test_a_kill_in_each_state_costs_nothing_with_the_real_depot",
    ),
    "SIGKILL of the broker": (
        "faults/test_processes.py::test_a_killed_broker_costs_at_most_the_window_and_a_batch",
    ),
    "SIGKILL of the depot": ("faults/test_processes.py::test_a_killed_depot_is_replaced_by_another_one",),
    "a socket that stalls": (
        "faults/test_network.py::test_a_stall_of_the_connection_costs_at_most_the_window_and_a_batch",
        "faults/test_network.py::test_a_stall_of_a_minute_costs_at_most_the_window_and_a_batch",
        "faults/test_network.py::test_a_connection_that_is_given_up_in_a_stall_costs_at_most_the_window_and_a_batch",
    ),
    "duplicated, reordered, truncated, bit-flipped frames": (
        "faults/test_network.py::test_frames_that_are_not_what_was_sent_cost_time_only",
        "faults/test_network.py::test_one_answer_of_bad_frames_costs_at_most_the_window_and_a_batch",
        "test_faults.py::test_a_chunk_that_is_damaged_on_the_way_is_counted_and_asked_for_again",
    ),
    "wrong signature": (
        "test_faults.py::test_a_manifest_that_a_stranger_signed_is_rejected_before_anything_is_fetched",
        "test_faults.py::test_a_manifest_that_was_changed_after_it_was_signed_is_rejected",
    ),
    "downgrade": ("faults/test_documents.py::test_a_downgrade_below_the_floor_is_rejected",),
    "wrong requires": (
        "test_faults.py::test_a_version_that_this_device_cannot_run_is_rejected_with_the_reason",
    ),
    "path escape": ("test_faults.py::test_an_index_whose_path_would_leave_the_folder_is_rejected",),
    "decompression bomb": (
        "faults/test_documents.py::test_chunks_that_unpack_to_far_more_than_their_index_says_are_thrown_away",
        "faults/test_documents.py::test_indexes_that_claim_huge_sizes_are_refused_before_any_space_is_taken",
    ),
    "disk full at each step": (
        "faults/test_full_disk.py::test_a_disk_that_is_full_at_each_step",
        "test_faults.py::test_a_memory_that_cannot_be_written_for_a_while_stops_nothing_for_good",
    ),
    "a broker with max_queued_messages 50": (
        "faults/test_network.py::test_a_broker_that_queues_50_messages_drops_and_still_all_arrives",
        "faults/test_network.py::test_an_overflow_of_a_queue_of_50_costs_at_most_the_window_and_a_batch_each_time",
    ),
    "a broker that speaks 3.1.1 only": (
        "faults/test_network.py::test_a_broker_that_knows_nothing_but_3_1_1_is_enough",
    ),
    "a power cut between fdatasync and the bitmap's commit": (
        "faults/test_power_cut.py::test_a_power_cut_between_fdatasync_and_bitmap",
    ),
    "a boot in 1970 and one next year": (
        "faults/test_time.py::test_a_daemon_with_a_wrong_clock_installs_as_any_other",
    ),
    "a late returner": ("faults/test_time.py::test_one_that_returns_late_gets_only_what_is_wanted_then",),
    "one packet of ten lost": ("faults/test_network.py::test_one_packet_of_ten_lost_on_the_wire",),
    "the driver starts anew from what is retained": (
        "../toolkit/fleet/test_steer.py::test_another_driver_goes_on_where_one_died",
    ),
    "a plan of another device that is wrong, late, taken back, or fails its golden check; SIGKILL while it comes": (
        "test_plan_fetch.py::test_a_plan_that_is_wrong_is_not_taken_and_the_reason_is_kept",
        "test_plan_fetch.py::test_a_transfer_that_stands_still_ends_connected_or_not",
        "test_plan_fetch.py::test_a_plan_that_is_taken_back_while_it_comes_is_dropped",
        "test_plan_of_a_class.py::test_one_device_builds_its_class_fetches_and_a_plan_that_is_wrong_costs_a_build",
    ),
    "a wave that stops at its threshold": (
        "../toolkit/protocol/test_waves.py::test_a_refusal_stops_the_rollout_and_spares_those_who_have_not_got_it_yet",
    ),
}
"""Fault -> tests, below tests/edge_runtime. Most of them assert in bytes what the fault may cost: `ledger.BOUND`."""

ONLY_IN_TEST_ALL = {"slow", "faults"}


def function_of(test: str) -> ast.FunctionDef:
    file, _, name = test.partition("::")
    tree = ast.parse((DEVICE / file).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert found, f"{test} does not exist"
    return found[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_tests_and_one_of_them_runs_every_day(fault: str) -> None:
    functions = [function_of(test) for test in FAULTS[fault]]
    marks = [
        {
            node.attr
            for decorator in function.decorator_list
            for node in [decorator]
            if isinstance(node, ast.Attribute)
        }
        for function in functions
    ]
    assert any(not each & ONLY_IN_TEST_ALL for each in marks), f"{fault}: only `make test-all` runs it"
