"""chatlas: chats, streamed, and `batch_chat` with text and a data model."""

from __future__ import annotations

import os
from functools import partial

from chatlas import ChatOpenAI, ChatOpenAICompletions, batch_chat_structured, batch_chat_text
from pydantic import BaseModel

MODEL = "gpt-4.1"
PROMPTS = ["It boils fast.", "It leaks."]


class Review(BaseModel):
    label: str
    stars: int


for number, chat in enumerate((ChatOpenAI, ChatOpenAICompletions)):
    make = partial(chat, base_url=os.environ["OPENAI_BASE_URL"])
    streamed = str(make(model=MODEL).chat("Hello?", echo="none"))
    assert streamed.startswith("[simulated"), streamed
    plain = str(make(model=MODEL).chat("Hello?", echo="none", stream=False))
    assert plain == streamed
    assert "".join(make(model=MODEL).stream("Hello?", echo="none")).strip() == plain.strip()
    assert isinstance(make(model=MODEL).chat_structured("Rate it.", data_model=Review), Review)

    texts = batch_chat_text(make(model=MODEL), PROMPTS, f"texts{number}.json")
    assert len(texts) == 2, texts
    assert all(text.startswith("[simulated") for text in texts), texts
    reviews = batch_chat_structured(
        make(model=MODEL), PROMPTS, f"reviews{number}.json", data_model=Review
    )
    assert all(isinstance(review, Review) for review in reviews), reviews

for feature in ("upload", "create", "wait", "content", "structured", "streaming"):
    print(feature)
