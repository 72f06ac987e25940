"""The dress of a version: looks for a kept answer before the version, and its stages, are asked. See `ask`.

Between the table, which calls it, and whatever it is put around. It knows whose answers they are; `keep` does the rest.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final, Protocol

from edge_runtime.engine.base import Tensors
from edge_runtime.serving.ask import Answer, Answerer, Ask
from edge_runtime.serving.cache.keep import Keep, Question
from edge_runtime.serving.cache.key import KeyOf, Source, label_of, question_key
from edge_runtime.serving.stats import ModelStats

ASIDE: Final = "cache"
"""Parameter that is false when a question must be computed, and its answer not kept."""


class Version(Protocol):
    """What must be known of a version."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> str:
        """The version's name."""
        ...

    @property
    def artifact(self) -> str:
        """Id of what the engine was loaded from."""
        ...


class KeptAnswers:
    """Answers questions with what is kept, and keeps what the version answers."""

    def __init__(
        self,
        version: Version,
        inner: Answerer,
        keep: Keep,
        *,
        stages: str = "",
        key_of: KeyOf = question_key,
        stats: ModelStats | None = None,
    ) -> None:
        """Stand before `inner`.

        Args:
            version: who computes; answers carry its name.
            inner: the version itself, or what it is dressed in already.
            keep: what is kept of this model.
            stages: names what `inner` does besides the version, with its version; part of the key.
            key_of: says when two questions are the same.
            stats: where hits and misses are counted too.
        """
        self._name, self._version = version.name, version.version
        self._source = Source(version.artifact, stages)
        self._inner = inner
        self._keep = keep
        self._key_of = key_of
        self._stats = stats or ModelStats(self._name, self._version)

    async def answer(self, ask: Ask) -> Answer:
        """Answer.

        Raises:
            RequestError: this question gets no answer.
            EngineError: the model failed.
        """
        if ask.parameters.get(ASIDE) is False:
            return await self._inner.answer(ask)
        began = perf_counter()
        question = Question(
            self._source,
            self._key_of(self._source, ask),
            label_of(ask),
            ask.priority,
            ask.deadline,
            ask.client,
        )

        async def compute() -> Tensors:
            self._stats.cache_miss.add(perf_counter() - began)
            return (await self._inner.answer(ask)).outputs

        found = await self._keep.find(question, compute)
        if not found.computed:
            self._stats.cache_hit.add(perf_counter() - began)
        return Answer(self._name, self._version, found.kept.outputs, cached=not found.computed)
