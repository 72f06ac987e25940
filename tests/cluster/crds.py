"""Where the CRDs of Volcano and KubeEdge are: TIERS_CRDS, else beside the checkout, else what `make crds` brought."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BRING = "make crds"


def find_crds() -> Path | None:
    """Find the folder that holds a folder of CRDs for each project; None when nobody has brought it."""
    named = os.environ.get("TIERS_CRDS")
    places = (
        [Path(named)] if named else [REPOSITORY.parent / "shared" / "crds", REPOSITORY / ".cache" / "crds"]
    )
    return next((each for each in places if (each / "volcano/batch.volcano.sh_jobs.yaml").is_file()), None)
