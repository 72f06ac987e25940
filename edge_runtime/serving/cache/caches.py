"""The caches of a daemon: one keep for each model that wants one, and what shall be forgotten, as it comes by MQTT.

`daemon` makes it, dresses versions with `around`, passes messages of `k/MODEL` to `heard`, and closes it at the end.

Nobody signs those messages, so their work is bounded: beyond a burst, messages are no longer obeyed one by one; all of
the model is forgotten, and for a second nothing is kept of it. So a flood makes a device as slow as one without a
cache, and no old answer is given because of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from edge_runtime.serving.ask import Answerer
from edge_runtime.serving.cache.answers import KeptAnswers, Version
from edge_runtime.serving.cache.disk import Disk
from edge_runtime.serving.cache.entry import Sealer, read_secret
from edge_runtime.serving.cache.foresee import Markov
from edge_runtime.serving.cache.keep import Clocks, Keep, Parts
from edge_runtime.serving.cache.key import Source
from edge_runtime.serving.cache.lifetime import Lifetime, seconds_of
from edge_runtime.serving.cache.memory import Memory
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.stats import ModelStats
from toolkit.errors import IntegrityError
from toolkit.wire.device_config import CacheConfig, ModelConfig
from toolkit.wire.forget import Forget, decode_forget

log = logging.getLogger(__name__)
T = TypeVar("T")
BURST: Final = 32
"""Messages about one model that are obeyed at once, and then one a `_SECONDS_EACH`."""
_SECONDS_EACH: Final = 1.0
_MARK: Final = "mark"
_MARK_BYTES: Final = 64


@dataclass(slots=True)
class _Ear:
    """What was heard about one model."""

    tokens: float = BURST
    at: float = 0.0
    mark: str | None = None
    """The last message that was obeyed; None while the disk has not been asked."""
    heard: bool = False
    """Whether one more came in a flood."""
    calming: asyncio.Future[None] | None = None


class Caches:
    """Every cache of a daemon."""

    def __init__(
        self,
        models: Iterable[ModelConfig],
        folder: Path,
        clocks: Clocks | None = None,
        rest: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(_SECONDS_EACH),
    ) -> None:
        """Make a keep for each model that wants one, with its files below `folder`.

        Args:
            models: of the configuration.
            folder: STATE/answers.
            clocks: what time it is.
            rest: waits, after a flood of messages, for the time that must be without any.

        Raises:
            IntegrityError: the key for what is at rest cannot be used.
        """
        self._clocks = clocks or Clocks()
        self._rest = rest
        self._thread: ThreadPoolExecutor | None = None
        self.keeps: dict[str, Keep] = {}
        self._ears: dict[str, _Ear] = {}
        for model in models:
            if model.cache is not None:
                self.keeps[model.name] = self._make(model.name, model.cache, folder / model.name)

    def _make(self, name: str, plan: CacheConfig, folder: Path) -> Keep:
        sealer = Sealer(read_secret(Path(plan.key_file))) if plan.key_file else None
        disk = Disk(folder, plan.disk_bytes, self._run, sealer) if plan.disk_bytes else None
        lifetime = Lifetime(
            seconds_of(plan.kind, plan.ttl_seconds), follow=plan.follow, now=self._clocks.steady()
        )
        foresight = Markov() if plan.prefetch else None
        return Keep(name, Parts(Memory(plan.memory_bytes), lifetime, disk, foresight, self._clocks))

    def _run(self, job: Callable[[], T], /) -> asyncio.Future[T]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "answers")
        return asyncio.get_running_loop().run_in_executor(self._thread, job)

    @property
    def models(self) -> tuple[str, ...]:
        """Models whose answers are kept."""
        return tuple(self.keeps)

    def around(
        self, version: Version, inner: Answerer, stages: str = "", stats: ModelStats | None = None
    ) -> Answerer:
        """Put a model's cache around a version of it, where it has one and the version's bytes are known.

        Args:
            version: what is about to serve.
            inner: it, or what it is dressed in.
            stages: what `inner` does besides the version; another text, another key.
            stats: where hits and misses are counted in Triton's terms too.
        """
        keep = self.keeps.get(version.name)
        if keep is None or not version.artifact:
            return inner
        keep.activated(Source(version.artifact, stages))
        return KeptAnswers(version, inner, keep, stages=stages, stats=stats)

    def dress(self, inner: Callable[[ServedModel], Answerer]) -> Callable[[ServedModel], Answerer]:
        """Give a function that dresses a version: in what `inner` puts around it, and outermost in its cache."""

        def dressed(model: ServedModel) -> Answerer:
            front = inner(model)  # first: it says what the stages are
            return self.around(model, front, model.stages, model.stats)

        return dressed

    async def heard(self, model: str, payload: bytes) -> None:
        """Take a message about what shall be forgotten; one that is none, or of no model here, changes nothing."""
        keep = self.keeps.get(model)
        if keep is None or not payload:
            return
        try:
            message = decode_forget(payload, what=f"what to forget of {model}")
        except IntegrityError as error:
            log.warning("not obeyed: %s; %s", error.message, error.hint)
            return
        ear = self._ears.setdefault(model, _Ear(at=self._clocks.steady()))
        if ear.mark is None:
            # Two that come at once may both look; the later then does not fit, and forgets more than it had to.
            noted = await keep.disk.noted(_MARK, _MARK_BYTES) if keep.disk else b""
            ear.mark = noted.decode("ascii", "replace")
        if message.mark == ear.mark:
            return  # kept by the broker, and obeyed before
        fits, ear.mark = message.after == ear.mark, message.mark
        if not self._is_calm(ear):
            ear.heard = True
            if ear.calming is None:
                keep.pause()
                ear.calming = asyncio.ensure_future(self._calm_down(keep, ear))
            return
        # What does not follow on the last one that was obeyed says that something was missed.
        await self._forget(keep, ear, message if fits else Forget(mark=message.mark))

    async def _forget(self, keep: Keep, ear: _Ear, message: Forget) -> None:
        try:
            await keep.forget(message)
            if keep.disk is not None:
                await keep.disk.note(_MARK, (ear.mark or "").encode())
        except OSError as error:
            # The mark was not written, so the broker's copy is obeyed after the next start.
            log.warning("answers of %s could not be deleted from the disk: %s", keep.model, error.strerror)

    async def _calm_down(self, keep: Keep, ear: _Ear) -> None:
        log.warning(
            "too many messages about what to forget of %s; nothing of it is kept meanwhile", keep.model
        )
        await self._forget(keep, ear, Forget(mark=ear.mark or ""))
        while ear.heard:
            ear.heard = False
            await self._rest()
        ear.calming = None
        await self._forget(keep, ear, Forget(mark=ear.mark or ""))
        keep.resume()

    def _is_calm(self, ear: _Ear) -> bool:
        now = self._clocks.steady()
        ear.tokens = min(ear.tokens + (now - ear.at) / _SECONDS_EACH, BURST)
        ear.at = now
        if ear.calming is not None or ear.tokens < 1:
            return False
        ear.tokens -= 1
        return True

    async def close(self) -> None:
        """Write down what the next start shall begin with, and end the thread."""
        for ear in self._ears.values():
            if ear.calming is not None:
                ear.calming.cancel()
        for keep in self.keeps.values():
            await keep.close()
        if self._thread is not None:
            self._thread.shutdown()
