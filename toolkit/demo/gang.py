"""The gang of the demo: `tiers job submit digits --local` with two workers, when PyTorch is installed."""

from __future__ import annotations

from importlib.util import find_spec

from toolkit.demo.command import Commands
from toolkit.demo.evidence import Evidence
from toolkit.demo.material import Material
from toolkit.errors import GateRefusedError

STEP = "gang of two"
LEAST_SCORE = 0.97
"""Share of held-out images that the trained model must hit."""


def train(material: Material, commands: Commands, evidence: Evidence, *, wanted: bool) -> None:
    """Train with two workers, or say how to install PyTorch; the models that are shipped are the carried ones.

    Args:
        material: names tiers.yaml, which has the job.
        commands: run the command.
        evidence: gets the row.
        wanted: False leaves the training out, for runs that show something else.

    Raises:
        CommandFailedError: the gang failed.
        GateRefusedError: the trained model is worse than it must be.
    """
    if not wanted:
        evidence.good(STEP, "left out: this run breaks something else", trained=False)
        return
    if find_spec("torch") is None:
        evidence.good(STEP, "not run: PyTorch is not installed (pip install 'tiers[train]')", trained=False)
        return
    folder = evidence.folder / "jobs"
    answer = commands.ask(
        "job", "submit", "digits", "--local", "--no-follow", "-f", material.topology, "--root", folder
    )
    metrics, seconds = answer.get("metrics"), answer.get("seconds")
    score = metrics.get("score") if isinstance(metrics, dict) else None
    if not isinstance(score, float) or not isinstance(seconds, float):
        raise GateRefusedError("the gang left no metrics", hint=f"look into {folder}")
    if score < LEAST_SCORE:
        raise GateRefusedError(
            f"the gang's model hits {score:.1%} of the held-out images, at least {LEAST_SCORE:.0%} were asked"
        )
    evidence.good(
        STEP, f"trained, {score:.1%} of held-out images, {seconds:.0f} s", trained=True, answer=answer
    )
