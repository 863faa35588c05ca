"""pydantic-ai: agents with typed output, plain and streamed."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel


class Review(BaseModel):
    label: str
    stars: int


async def main() -> None:
    for model in (OpenAIChatModel("gpt-4.1"), OpenAIResponsesModel("gpt-4.1")):
        plain = await Agent(model).run("Hello?")
        assert plain.output.startswith("[simulated"), plain.output
        async with Agent(model).run_stream("Hello?") as stream:
            deltas = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
        assert len(deltas) > 3
        assert "".join(deltas) == plain.output
        # The first is a forced tool call, the second a strict schema.
        for kind in (Review, NativeOutput(Review)):
            agent = Agent(model, output_type=kind)
            assert isinstance((await agent.run("Rate it.")).output, Review)
            async with agent.run_stream("Rate it.") as stream:
                assert isinstance(await stream.get_output(), Review)


asyncio.run(main())

for feature in ("structured", "streaming", "tools"):
    print(feature)
