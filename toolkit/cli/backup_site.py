"""What `tiers backup` does once its options are read: gather, take; or open the last one and read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.backup_parts import broker_part, revisions_part, site_files, storages_part
from toolkit.cli.present import say
from toolkit.cli.registry import open_registry_of
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.backup.part import Part
    from toolkit.backup.shelf import Saved
    from toolkit.backup.take import Taken
    from toolkit.sync.layouts.packs import PackStore
    from toolkit.topology.topology import Topology


def save_site(
    topology: Topology,
    store: PackStore,
    files: Sequence[Path],
    add: Sequence[Path],
    keys: tuple[Sequence[Path], Path | None],
    registry: str,
    broker: str,
    kubeconfig: Path | None,
    left_out: Collection[str],
    keep: int,
) -> Taken:
    """Gather all parts and store them. Errors as `take` and `gather_files`."""
    from toolkit.backup.gather_files import gather_files, gather_keys
    from toolkit.backup.gather_registry import gather_registry
    from toolkit.backup.part import Part
    from toolkit.backup.take import take
    from toolkit.sync.key_file import read_key_file

    wanted, wrap = keys
    if bool(wanted) != bool(wrap):
        raise UsageError(
            "--with-key and --wrap-with belong together",
            hint="tiers sync keygen FILE makes a key to wrap with",
        )
    parts = [gather_files([*site_files(files, topology), *add])]
    models = open_registry_of(topology, registry)
    parts.append(gather_registry(models.remote))
    reached: dict[str, Callable[[], Part]] = {
        "broker": lambda: broker_part(topology, broker),
        "revisions": lambda: revisions_part(topology, kubeconfig),
        "storages": lambda: storages_part(topology),
    }
    for name, gather in reached.items():
        parts.append(Part(name, skipped=f"--without {name}") if name in left_out else gather())
    if wrap is not None:
        parts.append(gather_keys(wanted, read_key_file(wrap)))
    return take(
        store,
        topology.name,
        parts,
        registry=models.remote.url,
        made_with=version("tiers"),
        tiers_files=[file.name for file in files],
        keep=keep,
        listen=say,
    )


def check_last(store: PackStore, site: str) -> tuple[Saved, int, int]:
    """Read all of the newest backup; give it, its bytes and how many models its registry lists without a problem.

    Raises:
        UsageError: there is none.
        IntegrityError, MissingObjectError: it is damaged.
    """
    from toolkit.backup.gather_registry import REGISTRY
    from toolkit.backup.shelf import SavedRemote, open_saved
    from toolkit.backup.take import check_all
    from toolkit.registry.list import list_models
    from toolkit.sync.layouts.packs import PackStore as Packs

    saved = open_saved(store, site)
    read = check_all(saved)
    models = list_models(Packs(SavedRemote(saved, REGISTRY)))
    return saved, read, sum(not model.problem for model in models)
