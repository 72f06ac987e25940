"""`python -m toolkit.cli`: the command `tiers` where the script is not on the PATH, as when the demo starts it."""

from __future__ import annotations

import sys

from toolkit.cli import main

sys.exit(main())
