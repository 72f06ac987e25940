"""What a run did, for the table of the CLI, the log of an agent and the rows of the demo."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.sync.events import FileProblem


@dataclass(frozen=True)
class TargetResult:
    """What a run did to one target. In a dry run, what it would do."""

    tier: str
    url: str
    layout: str
    files_written: int = 0
    deleted: int = 0
    chunks_moved: int = 0
    """Chunks that came from the source."""
    bytes_unpacked: int = 0
    """Their bytes when open."""
    bytes_moved: int = 0
    """Bytes that moved: the chunks in stored form."""
    bytes_saved: int = 0
    """Bytes of the source's files less bytes moved."""
    changed: bool = False
    problems: tuple[FileProblem, ...] = ()
    error: str = ""
    """Why the target is not complete."""
    hint: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class SyncResult:
    """What a run of a task did."""

    route: str
    dry_run: bool
    files: int
    """Files of the source that the task takes."""
    total_bytes: int
    files_read: int
    """Files that were new or changed since the last scan."""
    bytes_read: int
    chunks: int
    """Distinct chunks of all files; 0 for an index in parts, in which nobody counts them."""
    special: int
    """Devices, pipes and sockets that were skipped."""
    problems: tuple[FileProblem, ...]
    """Files of the source that were left as they are."""
    targets: tuple[TargetResult, ...]
    removed: int
    """Files that were deleted from the source, after every target was read back."""
    wanted: int
    """Targets that must be complete."""
    seconds: float

    @property
    def bytes_moved(self) -> int:
        """Bytes that moved to all targets."""
        return sum(target.bytes_moved for target in self.targets)

    @property
    def bytes_saved(self) -> int:
        """Bytes that did not have to move, over all targets."""
        return sum(target.bytes_saved for target in self.targets)

    @property
    def torn(self) -> int:
        """Files that kept changing, at the source or on their way to a target."""
        problems = [*self.problems, *(problem for target in self.targets for problem in target.problems)]
        return len({problem.path for problem in problems if problem.kind == "torn"})

    @property
    def exit_code(self) -> int:
        """0 when enough targets hold everything; else the code of the worst thing that happened."""
        failed = [target.exit_code for target in self.targets if target.exit_code]
        if len(self.targets) - len(failed) < self.wanted:
            return max(failed)
        problems = [*self.problems, *(problem for target in self.targets for problem in target.problems)]
        return int(any(problem.kind != "kept" for problem in problems))
