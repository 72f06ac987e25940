"""Which upgrades of KubeEdge are taken, and that no text reaches a shell on a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.topology.kubeedge_version import is_fixed, numbers_of
from toolkit.topology.load import examine

SITE = Path(__file__).parents[3] / "invalid" / "site.yaml"
CASE = """
clusters: {main: {kubeedge: {addresses: [192.0.2.1], version: %s}}}
tiers: {edge: {pools: {boxes: {upgrade: {%s}}}}}
"""


def codes(tmp_path, text):
    (tmp_path / "case.yaml").write_text(text)
    return [each.code for each in examine([SITE, tmp_path / "case.yaml"], {}).problems]


@pytest.mark.parametrize(
    ("cloud", "to", "found"),
    [
        ("1.23.1", "1.23.1", []),
        ("1.23.1", "1.23.9", []),
        ("1.23.0", "1.23.1", []),  # the upgrade is what closes the hole
        ("1.24.0", "1.24.0", []),
        ("1.22.2", "1.22.10", []),
        ("1.23.1", "1.23.0", ["E0820"]),
        ("1.20.0", "1.20.9", ["E0820"]),
        ("1.22.2", "1.22.1", ["E0820"]),
        ("1.23.5", "1.23.4", ["E0821"]),
        ("1.24.0", "1.23.4", ["E0821"]),
        ("1.23.1", "1.24.0", ["E0821"]),
        ("1.23.1", "2.0.0", ["E0821"]),
    ],
)
def test_up_within_the_release_of_cloudcore_and_to_a_sound_version(tmp_path, cloud, to, found):
    assert codes(tmp_path, CASE % (cloud, f"to: {to}")) == found


@pytest.mark.parametrize(
    "to",
    [
        "v1.23.2",
        "1.23",
        "1.23.2; reboot",
        "1.23.2$(reboot)",
        "1.23.2\\nreboot",
        "1.23.2\\n",
        "1.23.\\u0662",
        "1.23.2-beta",
        "latest",
    ],
)
def test_a_text_that_is_no_version_is_refused(tmp_path, to):
    assert codes(tmp_path, CASE % ("1.23.1", f'to: "{to}"')) == ["E0309"]


@pytest.mark.parametrize("image", ["a;b", "a$(b)", "a b", "kubeedge/package:v1", "A", "a/../b", "-x", "a`b`"])
def test_an_image_is_a_bare_name(tmp_path, image):
    assert codes(tmp_path, CASE % ("1.23.1", f'to: 1.23.2, image: "{image}"')) == ["E0317"]
    mine = CASE % ("1.23.1", "to: 1.23.2, image: 'registry.example:5000/kubeedge/installation-package'")
    assert codes(tmp_path, mine) == []


def test_a_digest_is_a_digest_of_an_architecture(tmp_path):
    wrong = CASE % ("1.23.1", 'to: 1.23.2, digests: {arm64: "sha256:abc"}')
    assert codes(tmp_path, wrong) == ["E0317"]
    right = CASE % ("1.23.1", f'to: 1.23.2, digests: {{arm64: "sha256:{"a" * 64}"}}')
    assert codes(tmp_path, right) == []
    assert len(codes(tmp_path, right.replace("arm64", "riscv"))) == 1


def test_an_upgrade_needs_to_know_its_cloudcore(tmp_path):
    assert codes(tmp_path, "tiers: {edge: {pools: {boxes: {upgrade: {to: 1.23.2}}}}}\n") == ["E0822"]


def test_versions_are_read_or_not():
    assert numbers_of("v1.23.1") == numbers_of("1.23.1") == (1, 23, 1)
    assert [numbers_of(text) for text in ("1.23", "vv1.2.3", "1.2.3.4", "\u0661.2.3", "", "1.2.3\n")] == [
        None
    ] * 6
    sound = [(1, 23, 1), (1, 22, 2), (1, 21, 2), (1, 24, 0), (2, 0, 0)]
    assert [is_fixed(each) for each in sound] == [True] * 5
    assert not any(is_fixed(each) for each in [(1, 23, 0), (1, 22, 1), (1, 21, 1), (1, 20, 9), (0, 99, 9)])
