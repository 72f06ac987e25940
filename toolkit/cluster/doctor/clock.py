"""Do the clocks agree? One check, by the Date header of the API server's answers."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.cluster.doctor.finding import warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem

MOST_SECONDS = 10.0
"""What `lock` allows for clocks that differ; the header itself is right to one second."""

APART = warning(
    "D801",
    "The clocks here and on the API server differ.",
    why="logins and certificates are refused as expired or not yet valid, and times in reports mislead",
    cure="set the clocks: timedatectl set-ntp true, here and on the API server",
)


def clocks_agree(patient: Patient) -> Iterator[Problem]:
    """This machine's clock and the API server's are at most ten seconds apart."""
    asked = patient.kubernetes  # an answer, whichever, brings the header
    apart = patient.connection.clock.offset_seconds
    if asked and apart is not None and abs(apart) > MOST_SECONDS:
        word = "ahead of" if apart > 0 else "behind"
        yield APART.at("clock", f"the API server is {abs(apart):.0f} s {word} this machine")


CHECKS = (clocks_agree,)
"""Every check of this subject."""
