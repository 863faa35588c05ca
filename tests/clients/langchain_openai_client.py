"""langchain-openai: chats, streamed, typed, with tools; embeddings."""

from __future__ import annotations

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Review(BaseModel):
    label: str
    stars: int


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


for responses in (False, True):
    model = ChatOpenAI(model="gpt-4.1", use_responses_api=responses, stream_usage=True)
    plain = model.invoke("Hello?")
    assert plain.text.startswith("[simulated"), plain
    chunks = list(model.stream("Hello?"))
    assert len(chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == plain.text
    assert whole.usage_metadata["total_tokens"] == plain.usage_metadata["total_tokens"]
    assert len(model.batch(["One?", "Two?"])) == 2
    for method in ("json_schema", "function_calling"):
        typed = model.with_structured_output(Review, method=method)
        assert isinstance(typed.invoke("Rate it."), Review)
        *_, last = typed.stream("Rate it.")
        assert isinstance(last, Review), last
    calls = model.bind_tools([look_up], tool_choice="look_up").invoke("Look it up.").tool_calls
    assert [call["name"] for call in calls] == ["look_up"]

vectors = OpenAIEmbeddings(
    model="text-embedding-3-small", check_embedding_ctx_length=False
).embed_documents(["one", "two"])
assert [len(vector) for vector in vectors] == [1536, 1536]

for feature in ("structured", "streaming", "tools", "embeddings"):
    print(feature)
