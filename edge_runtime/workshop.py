"""What `install` works with: the parts that do the work of the states. `back` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.activate import Activator
from edge_runtime.drill import Drill
from edge_runtime.folders import Folders
from edge_runtime.live import Live
from edge_runtime.offers import Offers
from edge_runtime.patching import Patching
from edge_runtime.permit import Permit
from edge_runtime.plan_fetch import PlanFetching
from edge_runtime.reports import Reports
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from edge_runtime.transfer import Fetches
from edge_runtime.trial import Trials
from edge_runtime.worker import Worker


@dataclass(frozen=True)
class Workshop:
    """What does the work of the states."""

    store: Store
    folders: Folders
    shelf: Shelf
    disk: Worker
    offers: Offers
    fetches: Fetches
    patching: Patching
    plans: PlanFetching
    trials: Trials
    activator: Activator
    reports: Reports
    permit: Permit
    live: Live
    drill: Drill
    now: Callable[[], float]
