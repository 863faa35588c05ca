"""Every public call, checked by the type checker and never run."""

from decimal import Decimal
from pathlib import Path
from typing import Literal

import openai
import pandas as pd
import pydantic
from matplotlib.axes import Axes

import batchframe as bf


class Review(pydantic.BaseModel):
    """An answer of two fields."""

    tone: Literal["good", "bad"]
    stars: int


async def waits(job: bf.Job) -> bf.Job:
    """Wait without blocking the event loop."""
    return await job


def calls(frame: pd.DataFrame, client: openai.OpenAI) -> None:
    """Call everything, with every kind of argument."""
    requests: bf.Requests = bf.requests(frame, "{{ text }}", model="gpt-5.6-luna")
    bf.requests(frame, "{{ text }}", model="m", output=["a", "b"], name="label", temperature=0)
    bf.requests(frame, "{{ text }}", model="m", output=Review, lenient=True, dedupe=False)
    bf.requests(frame, [{"role": "user", "content": "{{ text }}"}], model="m", system="Be brief.")
    bf.requests(frame, lambda row: f"Classify {row['text']}", model="m", output=Literal["a"])
    clean: bf.Requests = requests.moderate(client=client, model="omni-moderation-latest")
    why: pd.DataFrame = clean.skipped
    estimate: bf.Estimate = requests.estimate(prices={"input": "0.1", "output": 1})
    twice: bf.Estimate = estimate + estimate
    costs: pd.DataFrame = requests.compare(["a", "b"], tiers=["batch", "flex"])
    bf.requests(frame, "{{ text }}", model="m", temperature=0, allow=["temperature"])
    bf.requests(frame, "What is this?", model="m", images="photo", image_root=Path("photos"))
    frame.pipe(bf.requests, "?", model="m", images=["a", "b"], image_max_size=2048)
    high: Decimal | None = twice.cost.high if twice.cost is not None else None
    paths: list[Path] = requests.to_jsonl("folder")
    job: bf.Job = requests.submit("name", max_cost=2.5, client=client, on_uncertain="ask")
    job = (
        bf.job("name", client=client)
        .refresh()
        .wait(timeout=60, poll=5)
        .cancel()
        .resume(recreate=True)
        .abandon()
    )
    job.watch(poll=(5, 60)).widget()
    everything: pd.DataFrame = bf.jobs(remote=True, client=client)
    again: bf.Requests = job.unanswered(also=["invalid", "undelivered"])
    recovered: list[bf.Job] = bf.recover(client)
    remaining: tuple[str, ...] = recovered[0].forget(remote=True).remaining
    cost: Decimal | None = job.cost
    counts: dict[str, int] = job.counts
    report: bf.Report = job.report()
    labeled: pd.DataFrame = bf.join(frame, job, "other", prefix="x_", details=True)
    evaluation: bf.Evaluation = bf.evaluate(labeled, truth="gold", predicted="label", status=None)
    low, high_end = evaluation.accuracy_interval
    kappa: float = evaluation.kappa + evaluation.accuracy + evaluation.accuracy_of_all
    classes: pd.DataFrame = evaluation.per_class
    agreement: bf.Agreement = bf.agreement(labeled, ["label", "x_label"])
    alpha: float = agreement.alpha
    axes: Axes = bf.plot.confusion(evaluation)
    axes = bf.plot.labels(labeled, "label", ax=bf.plot.statuses(job, ax=axes))
    axes = bf.plot.tokens(labeled, prefix="x_", ax=bf.plot.cost(job))
    table: pd.DataFrame = bf.plot.tables.tokens(job)
    print(low, high_end, kappa, classes, alpha, axes, table)  # noqa: T201 - used
    count: bf.TokenCount = bf.count_tokens({"model": "m", "messages": []})
    print(why)  # noqa: T201 - used
    print(costs, report, high, paths, cost, counts, labeled, count, again, remaining, len(requests))  # noqa: T201 - used
    print(everything)  # noqa: T201 - used
    safe: pd.DataFrame = bf.escape_formulas(labeled)
    print(safe)  # noqa: T201 - used
