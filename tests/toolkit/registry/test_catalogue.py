from __future__ import annotations

import pytest

from tests.toolkit.registry.making import Site, make_site
from toolkit.errors import IntegrityError, RegistryError, SignatureError
from toolkit.registry.catalogue import open_artifact, open_model
from toolkit.registry.list import list_models
from toolkit.wire.digest import digest_of


def test_an_unknown_version_names_the_known_ones(site: Site) -> None:
    site.push(version="1.0")
    with pytest.raises(RegistryError, match=r"no version 2\.0 of digits; it has 1\.0"):
        open_model(site.store, "digits", "2.0", site.keyring)
    with pytest.raises(RegistryError, match="no model other"):
        open_model(site.store, "other", "1.0", site.keyring)
    with pytest.raises(RegistryError, match="is not there"):
        open_artifact(site.store, digest_of(b"none"), site.keyring)


def test_a_foreign_signature_is_refused(site: Site) -> None:
    site.push(version="1")
    stranger = make_site(site.folder / "stranger")
    with pytest.raises(SignatureError, match="not trusted as registry"):
        open_model(site.store, "digits", "1", stranger.keyring)


def test_a_changed_manifest_is_refused(site: Site) -> None:
    result = site.push(version="1")
    file = site.folder / "registry" / "manifests" / result.artifact
    file.write_bytes(file.read_bytes().replace(b'"payload":"ey', b'"payload":"eZ'))
    with pytest.raises(IntegrityError, match="manifest"):
        open_model(site.store, "digits", "1", site.keyring)


def test_a_ref_that_leads_to_another_model_is_refused(site: Site) -> None:
    site.push(name="digits", version="1")
    site.push(name="other", version="1", head=2)
    site.store.write_ref("models/digits/1", site.store.read_ref("models/other/1"))
    with pytest.raises(RegistryError, match="leads to the manifest of other@1"):
        open_model(site.store, "digits", "1", site.keyring)


def test_the_list_shows_every_version_in_order_and_what_is_wrong_with_it(site: Site) -> None:
    for number in range(1, 11):
        site.push(version=f"1.{number}", head=number, width=2000)
    other = site.push(name="a-model", version="1", width=3000)
    lines = list_models(site.store, keyring=site.keyring)
    assert [(line.name, line.version) for line in lines] == [
        ("a-model", "1"),
        *(("digits", f"1.{number}") for number in range(1, 11)),
    ]
    assert lines[0].signed_by == (site.pair.key_id,)
    assert {line.problem for line in lines} == {""}
    (site.folder / "registry" / "manifests" / other.artifact).unlink()
    (line,) = list_models(site.store, name="a-model")
    assert "manifests" in line.problem
    stranger = make_site(site.folder / "stranger").keyring
    assert all(
        "not trusted" in line.problem for line in list_models(site.store, name="digits", keyring=stranger)
    )
