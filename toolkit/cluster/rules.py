"""What a person allows `apply` to do beyond what is always safe. Options of the command → `diff`, `apply`, `prune`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Everything that takes something away from somebody is off until it is asked for."""

    prune: bool = True
    """Delete what is a member of the set and not rendered any more."""
    prune_kinds: frozenset[str] = frozenset()
    """Guarded kinds (Namespace, PersistentVolumeClaim, CustomResourceDefinition) that may be deleted all the same."""
    allow_mass_deletion: bool = False
    """Delete also more than half of the members."""
    adopt: bool = False
    """Take over objects of the same name that belong to nobody of ours."""
    force_conflicts: bool = False
    """Take over fields that another manager owns."""


SAFE = Rules()
