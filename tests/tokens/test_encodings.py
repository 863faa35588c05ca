import pytest

from batchframe._tokens.counter import encoding_of, token_counter


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4o-mini-2024-07-18",
        "chatgpt-4o-latest",
        "gpt-4.1-nano",
        "gpt-4.5-preview",
        "gpt-5",
        "gpt-5.1",
        "gpt-5.4-mini-2026-03-17",
        "gpt-5.6-luna",
        "o1",
        "o3-mini",
        "o4-mini",
        "gpt-oss-120b",
        "openai/gpt-oss-20b",
        "ft:gpt-4.1-mini-2025-04-14:acme::8pGL1",
        "GPT-5.6-Sol",
    ],
)
def test_models_since_gpt_4o_are_counted_in_o200k(model: str) -> None:
    assert encoding_of(model) == ("o200k_base", True)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4",
        "gpt-4-turbo-2024-04-09",
        "gpt-3.5-turbo-0125",
        "gpt-3.5-turbo-instruct",
        "gpt-35-turbo",
        "ft:gpt-3.5-turbo-0613:acme::8pGL1",
        "text-embedding-3-small",
        "text-embedding-ada-002",
    ],
)
def test_older_models_and_embeddings_are_counted_in_cl100k(model: str) -> None:
    assert encoding_of(model) == ("cl100k_base", True)


@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-6.1-sol", "gpt-6-astra-2026-09-01"])
def test_the_encoding_of_gpt_6_is_presumed_and_the_note_says_so(model: str) -> None:
    assert encoding_of(model) == ("o200k_base", False)
    counter = token_counter(model)
    assert not counter.exact
    assert f"no tokenizer for {model}" in str(counter.note)


@pytest.mark.parametrize("model", ["llama-4-scout", "qwen3-32b", "gpt-4oo", "o11", ""])
def test_an_unknown_model_is_counted_but_never_called_exact(model: str) -> None:
    assert encoding_of(model) == ("o200k_base", False)
    counter = token_counter(model)
    assert not counter.exact
    assert "not known here" in str(counter.note)


def test_the_table_agrees_with_tiktokens_own_wherever_both_know_a_model() -> None:
    table = pytest.importorskip("tiktoken.model").MODEL_TO_ENCODING
    same_ranks = {"o200k_harmony": "o200k_base"}
    ours = {model: encoding_of(model) for model in table}
    assert ours == {model: (same_ranks.get(name, name), True) for model, name in table.items()}
