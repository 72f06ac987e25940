"""A job runs here as its gang would in the cluster: all or none, all stop when one fails, the whole gang again."""

import errno
import os
import signal
import threading

import pytest

from toolkit.errors import IntegrityError, JobError
from toolkit.jobs.gang import End
from toolkit.jobs.local import retry_cause, run, summary
from toolkit.topology.job import Retry, RetryCause
from toolkit.wire.digest import digest_of
from toolkit.wire.job import Metrics, encode_metrics


def test_a_gang_that_ends_well_leaves_its_artifact(plan):
    job = plan("note(f'part-{rank}', os.environ['WORLD_SIZE']); print('rank', rank, 'was here')")
    finished = run(job)
    assert finished.files == {f"part-{rank}": digest_of(b"2") for rank in range(2)}
    assert (finished.workers, len(finished.attempts), finished.metrics) == (2, 1, None)
    assert [log.read_text() for log in finished.logs] == ["rank 0 was here\n", "rank 1 was here\n"]
    assert ("job", f"work, 2 workers, {finished.seconds:.1f} s") in summary(finished)


def test_when_one_fails_all_are_ended_and_the_error_says_how_to_go_on(plan, alive, wait_until):
    job = plan(
        """
        if rank == 0:
            note("pids", f"{os.getpid()} {child()}")
            signal.pause()
        wait_for("pids")
        for number in range(20):
            print("line", number)
        sys.exit(3)
        """
    )
    with pytest.raises(JobError) as caught:
        run(job)
    error = caught.value
    log = job.folder.log(1, 1)
    assert "job work failed for good at its first attempt: rank 1 ended with exit code 3" in error.message
    assert "`retry.after` does not name this" in error.message
    assert [line for line in error.message.splitlines() if "|" in line] == [
        f"    | line {n}" for n in range(10, 20)
    ]
    assert error.message.endswith(f"log: {log}")
    assert error.hint == f"tiers job logs work --root {job.folder.root.parent} --rank 1"
    pids = [int(pid) for pid in (job.folder.output / "pids").read_text().split()]
    wait_until(lambda: not any(map(alive, pids)), "no process of the gang is left")


def test_children_of_workers_that_ended_well_are_ended_too(plan, alive, wait_until):
    job = plan("note(f'pid-{rank}', child())")
    finished = run(job)
    pids = [int((job.folder.output / name).read_text()) for name in finished.files]
    assert len(pids) == 2
    wait_until(lambda: not any(map(alive, pids)), "no child is left")


def test_the_whole_gang_starts_again_after_143_and_goes_on_from_its_checkpoints(plan):
    job = plan(
        """
        saved = Path(os.environ["TIERS_CHECKPOINTS"]) / f"rank-{rank}"
        saved.parent.mkdir(exist_ok=True)
        before = int(saved.read_text()) if saved.exists() else 0
        saved.write_text(str(before + 1))
        note(f"saved-{rank}-{before + 1}", "")
        wait_for(f"saved-0-{before + 1}", f"saved-1-{before + 1}")
        if rank == 1 and before < 2:
            sys.exit(143)
        if rank == 0 and before < 2:
            signal.pause()
        """,
        retry={"attempts": 5, "after": ["evicted", "exit:143"]},
    )
    finished = run(job)
    assert [(each.number, each.cause) for each in finished.attempts] == [
        (1, "exit:143"),
        (2, "exit:143"),
        (3, ""),
    ]
    assert [(job.folder.checkpoints / f"rank-{rank}").read_text() for rank in range(2)] == ["3", "3"]
    assert finished.logs[0].parent.name == "attempt-3"
    assert job.folder.attempts == (1, 2, 3)


def test_the_port_of_a_gang_is_nobody_elses_and_rank_0_can_listen_on_it(plan):
    job = plan(
        """
        import socket
        port = int(os.environ["MASTER_PORT"])
        if rank == 0:
            with socket.socket() as stranger:
                try:
                    stranger.bind(("127.0.0.1", port))
                except OSError as error:
                    note("stranger", os.strerror(error.errno))
            with socket.create_server(("", port)) as first:
                note("listens", "")
                first.accept()[0].close()
        else:
            wait_for("listens")
            socket.create_connection(("127.0.0.1", port)).close()
        """
    )
    assert run(job).files["stranger"] == digest_of(os.strerror(errno.EADDRINUSE).encode())


def test_attempts_end(plan):
    job = plan("sys.exit(143)", retry={"attempts": 2, "after": ["exit:143"]})
    with pytest.raises(
        JobError, match=r"after 3 attempts: rank \d ended with exit code 143; no attempts are left"
    ):
        run(job)
    assert job.folder.attempts == (1, 2, 3)


def test_another_exit_code_is_final(plan):
    job = plan("sys.exit(1 if rank else 0)", retry={"attempts": 9, "after": ["evicted", "exit:143"]})
    with pytest.raises(JobError, match="rank 1 ended with exit code 1"):
        run(job)
    assert job.folder.attempts == (1,)


@pytest.mark.parametrize(
    ("after", "end", "cause"),
    [
        ("exit:143", End(0, 143, 0), "exit:143"),
        ("exit:143", End(0, 143, signal.SIGTERM), "exit:143"),
        ("evicted", End(0, 143, signal.SIGTERM), "evicted"),
        ("evicted", End(0, 137, signal.SIGKILL), "evicted"),
        ("evicted", End(0, 143, 0), ""),
        ("evicted", End(0, 139, signal.SIGSEGV), ""),
        ("exit:143", End(0, 1, 0), ""),
        ("failed", End(0, 1, 0), "failed"),
    ],
)
def test_what_counts_as_a_cause(after, end, cause):
    assert retry_cause(Retry(attempts=1, after=(RetryCause.parse(after),)), end) == cause


def test_a_second_call_goes_on_and_a_fresh_one_forgets(plan):
    code = """
        saved = Path(os.environ["TIERS_CHECKPOINTS"]) / str(rank)
        saved.parent.mkdir(exist_ok=True)
        saved.write_text((saved.read_text() if saved.exists() else "") + "x")
        note(f"seen-{rank}", saved.read_text())
    """
    job = plan(code)
    run(job)
    assert run(job).files == {f"seen-{rank}": digest_of(b"xx") for rank in range(2)}
    assert job.folder.attempts == (1, 2)
    assert run(job, fresh=True).files == {f"seen-{rank}": digest_of(b"x") for rank in range(2)}
    assert job.folder.attempts == (1,)


def test_the_same_job_cannot_run_twice_at_once(plan, wait_until):
    job = plan("note(f'up-{rank}', ''); wait_for('go')")
    first = threading.Thread(target=run, args=(job,))
    first.start()
    wait_until((job.folder.output / "up-0").exists, "the first gang is up")
    with pytest.raises(JobError, match="job work runs already"):
        run(job)
    (job.folder.output / "go").touch()
    first.join()
    run(job)


def metrics_for(files):
    return Metrics(
        recipe="r", metric="accuracy", score=0.5, loss=1.0, held_out=2, steps=3, seconds=1.0, world_size=2, seed=0,
        backend="gloo", weights=digest_of(b"weights"), files=files,
    )  # fmt: skip


def test_metrics_are_read_and_held_against_the_files(plan, tmp_path):
    told = tmp_path / "told.json"
    told.write_bytes(encode_metrics(metrics_for({"model": digest_of(b"good")})))
    code = (
        f"rank or (note('model', os.environ['SAYS']), note('metrics.json', Path({str(told)!r}).read_text()))"
    )
    finished = run(plan(code, env={"SAYS": "good"}))
    assert finished.metrics is not None
    assert finished.metrics.score == 0.5
    assert ("accuracy", "0.5000 on 2 held-out samples") in summary(finished)
    with pytest.raises(IntegrityError, match=r"model is not the file that .*metrics.json describes"):
        run(plan(code, env={"SAYS": "bad"}))


def test_workers_inherit_no_secret_of_the_gate(plan):
    """The shell at the gate hands on exactly the planned environment (and what a shell adds by itself)."""
    job = plan("note(f'env-{rank}', '\\n'.join(sorted(os.environ)))", environ={"PATH": os.defpath})
    run(job)
    seen = set((job.folder.output / "env-0").read_text().splitlines())
    planned = set(job.environment) | {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    assert planned <= seen
    assert {name for name in seen - planned if not name.startswith(("VC_", "VK_", "PET_"))} <= {
        "PWD",
        "_",
        "SHLVL",
        "LC_CTYPE",
        "OLDPWD",
    }
