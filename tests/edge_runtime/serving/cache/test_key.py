"""Two questions have one key exactly when nothing that counts is different."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.cache.key import Source, label_of, question_key
from edge_runtime.serving.refusals import BadRequestError

SOURCE = Source("a" * 64)
X = np.arange(6, dtype=np.float32).reshape(2, 3)
ASK = Ask("m", {"x": X, "k": np.array([1, 2])}, wanted=("y", "z"), parameters={"threshold": 1})
KEY = question_key(SOURCE, ASK)


def with_input(**inputs):
    return replace(ASK, inputs={**ASK.inputs, **inputs})


OTHER = {
    "another value": with_input(x=X + 1),
    "another shape": with_input(x=X.reshape(3, 2)),
    "another type with the same bytes": with_input(x=X.view(np.int32)),
    "another input": replace(ASK, inputs={"x": X, "j": np.array([1, 2])}),
    "one input fewer": replace(ASK, inputs={"x": X}),
    "the inputs' bytes moved from one to the other": with_input(
        x=X.ravel()[:4], k=np.concatenate([X.ravel()[4:].view(np.int64), [1, 2]])
    ),
    "other outputs": replace(ASK, wanted=("y",)),
    "another parameter": replace(ASK, parameters={"threshold": 2}),
    "another type of parameter": replace(ASK, parameters={"threshold": True}),
    "a label": replace(ASK, parameters={"threshold": 1, "cache_id": "7"}),
}
SAME = {
    "another order of inputs": replace(ASK, inputs=dict(reversed(ASK.inputs.items()))),
    "another order of outputs": replace(ASK, wanted=("z", "y")),
    "other places in memory": with_input(x=np.asfortranarray(X)),
    "another hurry": replace(ASK, priority=Priority.BATCH, deadline=1.0, client="c", trace="t", arrived=0.0),
    "how to answer": replace(
        ASK, parameters={"threshold": 1, "priority": 1, "timeout": 5, "binary_data_output": True}
    ),
    "a name of the version": replace(ASK, version="1"),
}


@pytest.mark.parametrize("ask", OTHER.values(), ids=OTHER)
def test_what_counts_makes_another_key(ask):
    assert question_key(SOURCE, ask) != KEY


@pytest.mark.parametrize("ask", SAME.values(), ids=SAME)
def test_what_does_not_count_leaves_it(ask):
    assert question_key(SOURCE, ask) == KEY


@pytest.mark.parametrize("source", [Source("b" * 64), Source("a" * 64, "resize:1")])
def test_the_models_bytes_and_its_stages_count(source):
    assert question_key(source, ASK) != KEY


def test_an_empty_array_and_texts_have_keys():
    asks = [Ask("m", {"t": np.array(words, object)}) for words in ([b"ab", b"c"], [b"a", b"bc"], [])]
    asks.append(Ask("m", {"t": np.zeros((0, 3), np.float32)}))
    asks.append(Ask("m", {"t": np.array(3.0)}))
    assert len({question_key(SOURCE, ask) for ask in asks}) == 5


@pytest.mark.parametrize("label", [7, "x" * 129, None])
def test_a_label_is_a_short_text(label):
    with pytest.raises(BadRequestError, match="cache_id"):
        label_of(Ask("m", {}, parameters={"cache_id": label}))
    assert label_of(Ask("m", {}, parameters={"cache_id": "x" * 128})) == "x" * 128
