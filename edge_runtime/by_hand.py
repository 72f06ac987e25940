"""Load and unload a model by hand, for whoever has the scope admin: the repository of the protocol over the Activator.

`serving.repository` calls it on the event loop; the activator is asked on the control thread. What a device runs stays
in its desired document alone: an unload gives memory back and changes no installation, so the next question, or a load,
brings the same verified version again. What is not installed cannot be loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final, Protocol

from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import NotReadyError, RequestError
from edge_runtime.serving.repository import Entry, listed
from edge_runtime.worker import Post

WAIT_SECONDS: Final = 120.0
"""Longest time for which an admin waits for a model to load; it goes on loading after that."""


class Unloads(Protocol):
    """What the activator does here. For the control thread."""

    def unload(self, model: str) -> bool:
        """Give a model's memory back until somebody asks for it; tell whether it may leave."""
        ...


class BusyError(RequestError):
    """The model cannot leave at the moment."""

    status = HTTPStatus.CONFLICT
    outcome = "invalid"
    retryable = True


class ByHand:
    """The installed models of one device."""

    def __init__(self, table: ModelTable, post: Post, activator: Callable[[], Unloads | None]) -> None:
        """Work on this table.

        Args:
            table: models as they serve.
            post: brings a call to the control thread.
            activator: gives who unloads; None before the daemon has begun.
        """
        self._table = table
        self._post = post
        self._activator = activator

    def entries(self) -> Sequence[Entry]:
        """List every model that is declared for this device."""
        return [self._entry(each) for each in listed(self._table)]

    def _entry(self, entry: Entry) -> Entry:
        if entry.state != "READY" or self._table.loaded(entry.name):
            return entry
        return Entry(entry.name, "UNAVAILABLE", entry.version, "it is loaded when somebody asks for it")

    async def load(self, name: str) -> None:
        """Bring the installed version into memory.

        Raises:
            NotReadyError: no verified version is installed, or it is not loaded in time.
        """
        if not self._table.version(name):
            raise NotReadyError(f"no verified version of {name} is installed", hint="wait for its rollout")
        until = perf_counter() + WAIT_SECONDS
        await self._table.reach(name, until=lambda: until)

    async def unload(self, name: str) -> None:
        """Give the model's memory back, as soon as what it has begun is answered; this does not wait for that.

        Raises:
            BusyError: it is on trial, on its way into memory, or was asked in an emergency.
        """
        if not self._table.loaded(name):
            return
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def ask() -> None:
            activator = self._activator()
            left = activator is not None and activator.unload(name)
            loop.call_soon_threadsafe(partial(_settle, answer, left=left))

        self._post(ask)
        if not await answer:
            raise BusyError(
                f"{name} cannot leave now: it is on trial, being loaded, or has an emergency to answer"
            )


def _settle(answer: asyncio.Future[bool], *, left: bool) -> None:
    if not answer.done():
        answer.set_result(left)
