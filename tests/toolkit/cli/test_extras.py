"""`toolkit.cli.extras` and pyproject.toml name the same packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolkit.cli.extras import EXTRA_OF, missing_extra

REPOSITORY = Path(__file__).resolve().parents[3]
DISTRIBUTION_OF = {
    "yaml": "pyyaml",
    "sklearn": "scikit-learn",
    "jsonschema_rs": "jsonschema-rs",
    "kubernetes_validate": "kubernetes-validate",
    "prometheus_client": "prometheus-client",
}


def extras() -> dict[str, str]:
    """Read each extra's list as text: Python 3.10 has no TOML reader."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    section = text.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return {
        found[1]: found[2] for found in re.finditer(r"^(\w+) = (\[.*?\])$", section, re.MULTILINE | re.DOTALL)
    }


@pytest.mark.parametrize(("package", "extra"), EXTRA_OF.items())
def test_each_package_is_in_the_extra_that_we_name(package, extra):
    assert f'"{DISTRIBUTION_OF.get(package, package)}' in extras()[extra]


def test_a_missing_file_of_ours_is_no_missing_extra():
    assert missing_extra(ModuleNotFoundError("no", name="toolkit.nothing")) is None
    found = missing_extra(ModuleNotFoundError("no", name="kubernetes.client"))
    assert found is not None
    assert found.hint == "pip install 'tiers[operator]'"
