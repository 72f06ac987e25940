"""Write tests/golden again from what is rendered now; `make golden` runs it. Read the difference before committing it.

Each folder of tests/golden holds `objects.yaml`, rendered from its own `tiers.yaml` or else from the worked example.
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.errors import TiersError
from toolkit.render.objects import render
from toolkit.render.stream import to_stream
from toolkit.topology.load import load

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    """Render every case and write what has changed; return the exit code."""
    for case in sorted(path for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir()):
        own = case / "tiers.yaml"
        source = own if own.is_file() else REPOSITORY / "tiers.yaml"
        golden = case / "objects.yaml"
        try:
            text = to_stream(render(load([source]).topology))
        except TiersError as error:
            print(f"{source}: {error.message}", file=sys.stderr)
            return error.exit_code
        before = golden.read_text(encoding="utf-8") if golden.is_file() else ""
        if text != before:
            golden.write_text(text, encoding="utf-8")
        print(f"{golden.relative_to(REPOSITORY)}: {'unchanged' if text == before else 'written'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
