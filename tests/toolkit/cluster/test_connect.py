"""Only a context that tiers.yaml names is ever spoken to."""

from __future__ import annotations

import json

import pytest

from toolkit.cluster.connect import cluster_of_context, connect
from toolkit.errors import UnreachableError, UsageError


@pytest.fixture
def kubeconfig(tmp_path):
    """Write a kubeconfig whose current context is not the hospital's."""

    def write(*contexts: str):
        path = tmp_path / "config"
        server = {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": contexts[0],
                    "clusters": [
                        {"name": name, "cluster": server | {"server": f"https://{name}:1"}}
                        for name in contexts
                    ],
                    "users": [{"name": "u", "user": {"token": "secret-token"}}],
                    "contexts": [
                        {"name": name, "context": {"cluster": name, "user": "u"}} for name in contexts
                    ],
                }
            )
        )
        return path

    return write


def test_the_context_of_tiers_yaml_counts_not_the_current_one(kubeconfig, topology):
    connection = connect(topology({}), "main", kubeconfig("elsewhere", "hospital"))
    assert connection.host == "https://hospital:1"
    assert connection.login() == {"authorization": "Bearer secret-token"}


def test_a_login_is_held_for_the_next_requests(kubeconfig, topology):
    """The official client reads its whole configuration each time, an eighth of what a write costs."""
    connection = connect(topology({}), "main", kubeconfig("hospital"))
    assert connection.login() is connection.login()


def test_the_token_is_in_no_text_of_the_connection(kubeconfig, topology):
    assert "secret-token" not in repr(connect(topology({}), "main", kubeconfig("hospital")))


def test_a_context_that_tiers_yaml_does_not_name_is_refused(topology):
    with pytest.raises(UsageError, match=r"no cluster with the context 'elsewhere'.*hospital"):
        cluster_of_context(topology({}), "elsewhere")
    assert cluster_of_context(topology({}), "hospital") == "main"


def test_a_kubeconfig_without_the_context_is_refused(kubeconfig, topology):
    with pytest.raises(UsageError, match=r"no context 'hospital'.*elsewhere"):
        connect(topology({}), "main", kubeconfig("elsewhere"))


def test_an_unknown_cluster_is_refused(topology):
    with pytest.raises(UsageError, match="no cluster 'other'"):
        connect(topology({}), "other")


def test_a_missing_kubeconfig_names_the_cure(tmp_path, topology):
    with pytest.raises(UnreachableError) as caught:
        connect(topology({}), "main", tmp_path / "none")
    assert "KUBECONFIG" in caught.value.hint
