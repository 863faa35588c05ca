"""Public functions: build requests, join answers and find jobs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from batchframe._api.job import Job
from batchframe._api.join_check import warn_of_missing
from batchframe._api.listing import find
from batchframe._api.requests import Requests
from batchframe._base.errors import ColumnError, RequestError, format_list
from batchframe._base.safe_text import requests_step
from batchframe._endpoints import open_endpoint
from batchframe._estimate.preflight import check_json_mode
from batchframe._frames.attached.options import FileInput, ImageInput
from batchframe._frames.kinds import kind_of, unwrap
from batchframe._frames.tabular import Tabular, tabular, taken_names
from batchframe._jobs.recovery import recover as restore
from batchframe._recipe.arguments import Prompt
from batchframe._recipe.recipe import Recipe
from batchframe._requests.rendering import request_table
from batchframe._results.arrow_columns import join_columns
from batchframe._results.billing import billed
from batchframe._results.join import join as join_answers
from batchframe._services.connect import connect

if TYPE_CHECKING:
    from openai import OpenAI

_Frame = TypeVar("_Frame")


def requests(
    source: Any,
    prompt: Prompt,
    *,
    model: str,
    system: str | None = None,
    output: object = None,
    endpoint: str = "/v1/chat/completions",
    name: str | None = None,
    lenient: bool = False,
    on_missing: str = "raise",
    dedupe: bool = True,
    allow: Sequence[str] = (),
    images: Hashable | list[Hashable] = None,
    image_root: str | Path | None = None,
    image_detail: str | None = None,
    image_max_size: int | None = None,
    files: Hashable | list[Hashable] = None,
    file_root: str | Path | None = None,
    **body: Any,
) -> Requests:
    """Build requests from rows and a prompt; send and write nothing.

    Parameters
    ----------
    Rows and prompt
    ~~~~~~~~~~~~~~~
    source
        A DataFrame of pandas or Polars, an Arrow table, a DuckDB relation, or a Dataset of Hugging
        Face, which is not modified. Rows are identified by position, so the index can be anything.
        For data larger than memory: the path of a Parquet file or of a folder of them, an Arrow
        dataset or record-batch reader, or any other Arrow stream; see :meth:`Job.to_parquet`.
    prompt
        A template, ``"Classify: {{ text }}"``; a list of chat messages whose contents are
        templates; or a function of a row (a mapping of column to value) that returns either of
        these without placeholders, or None for no request. ``{{ text | json }}`` writes the cell as
        JSON, ``{{{{`` writes two braces.
    model
        Name of the model.
    system
        Template of a system message before the prompt; for "/v1/responses", of the instructions.
    on_missing
        How to handle a row with a missing cell: "raise", "skip" (no request, status ``skipped``),
        "empty" (use an empty string), or the string to use instead.
    dedupe
        Whether to merge duplicate requests into one.

    Output
    ~~~~~~
    output
        The answer format, for chat completions and responses: None for text; a list of labels, a
        ``Literal`` or an ``Enum`` for one label; a Pydantic model, TypedDict, dataclass or JSON
        schema for typed columns; ``int``, ``list[str]`` and the like for one typed column.
    name
        Name of the answer column, instead of ``response``, ``label``, ``embedding`` or ``image``.
    lenient
        Whether to ignore fields of an answer that are not in its schema. By default, such an answer
        is ``invalid``: OpenAI enforces the schema, but other servers may not. The requests stay the
        same, so submitting an answered job again with ``lenient=True`` costs nothing.

    Images
    ~~~~~~
    images
        A column, or a list of columns, of images to append to the last user message, in this
        order, for chat completions and responses. With "/v1/images/edits", the images to edit. A
        cell is an ``https:`` URL, which only the service fetches; a ``data:`` URL, bytes or a PIL
        image, which is sent as PNG; or a path. Files are PNG, JPEG, GIF or WebP, by their first
        bytes, and at most 20 MB. A missing cell follows `on_missing`: "raise", "skip", else the
        request is sent without that image.
    image_root
        The folder that image paths are relative to. Without it, batchframe reads no path; with it,
        no path that leaves the folder by ``..``, an absolute path or a symbolic link. `join` reads
        the files again.
    image_detail
        "auto", "low", "high" or "original": the resolution that the model sees, and its cost.
    image_max_size
        Longest side in pixels; larger images are scaled down before they are sent. Requires
        Pillow, the extra ``images``.
    files
        A column, or a list of columns, of PDF files to append to the last user message, in this
        order, after any images, for chat completions and responses. A cell is bytes, a ``data:``
        URL, a path or, for responses, an ``https:`` URL; a missing cell is as for images. OpenAI
        accepts 50 MB per request, and publishes no token count of a page: the estimate has a lower
        bound and no upper one.
    file_root
        The folder that file paths are relative to, as `image_root`.

    Checks
    ~~~~~~
    allow
        Checks to skip: names of body parameters, "model" (a model that is shut down, is not
        available in a batch, or belongs to another endpoint) and "context_window" (prompts that
        are too long).

    Request body
    ~~~~~~~~~~~~
    endpoint
        "/v1/chat/completions"; "/v1/responses"; "/v1/embeddings", whose answers are 32-bit vectors
        in the column ``embedding``; "/v1/completions", text only; "/v1/moderations", whose answers
        are ``flagged`` and, for each category, ``categories.…`` and ``category_scores.…``;
        "/v1/images/generations" and "/v1/images/edits", whose answers are files in the job's
        folder, with their paths in the column ``image``. All but the first two take one string as
        the prompt.
    **body
        Additional parameters of each request body, passed unchanged. With ``tools=``, the tool
        calls are in the columns ``tool_name`` and ``tool_arguments`` (JSON; for several calls,
        both are JSON lists). batchframe raises an error for parameters that an OpenAI model is
        known to reject; it passes everything to other models.

    Raises
    ------
    TemplateError, ColumnError, CellError, OutputSpecError, RequestError
        If an argument or a cell is invalid.
    SourceError
        If the rows cannot be read.

    Warns
    -----
    TemplateWarning
        If ``{text}``, or another near-placeholder, names a column.
    ParameterWarning
        If a body parameter is unknown to OpenAI, for one of its models.

    Examples
    --------
    >>> frame = pd.DataFrame({"text": ["Great!", "Broke at once."]})
    >>> labels = ["good", "bad"]
    >>> tone = frame.bf.requests("Classify: {{ text }}", model="gpt-6-luna", output=labels)
    >>> tone.preview(1)[0]["body"]["messages"][0]["content"]
    'Classify: Great!'

    >>> photos = pd.DataFrame({"photo": ["https://example.org/1.jpg", "https://example.org/2.jpg"]})
    >>> content = requests(photos, "What is this?", model="gpt-6-luna", images="photo")
    >>> content.preview(1)[0]["body"]["messages"][0]["content"][1]
    {'type': 'image_url', 'image_url': {'url': 'https://example.org/1.jpg'}}
    """
    definition = open_endpoint(endpoint)
    rows = tabular(source)
    recipe = Recipe.checked(
        endpoint=endpoint,
        model=model,
        prompt=prompt,
        system=system,
        output=definition.output_spec(output, name),
        on_missing=on_missing,
        dedupe=dedupe,
        body=body,
        allow=allow,
        lenient=lenient,
        images=ImageInput.checked(images, image_root, image_detail, image_max_size),
        files=FileInput.checked(files, file_root),
    )
    definition.check(recipe)
    _check_names(rows, [field.name for field in definition.fields(recipe)])
    function = prompt if recipe.prompt is None and callable(prompt) else None
    table = request_table(recipe, rows, function)
    check_json_mode(table)
    return Requests(table)


def _check_names(rows: Tabular, answers: list[str]) -> None:
    """Raise now for column names that `join` would reject a day later."""
    reserved = [name for name in answers if name.startswith("bf_")]
    if reserved:
        raise ColumnError(
            f"name: reserved for batchframe's own columns ({format_list(reserved)}). Fix: choose a "
            "name that does not begin with bf_."
        )
    taken = taken_names(rows.columns, answers)
    if not taken:
        return
    fix: str
    if len(answers) == 1:
        fix = requests_step('name="answer"') + ", or rename the column"
    elif rows.streamed:
        fix = (
            "requests(pyarrow.dataset.dataset(path).scanner(columns=[...]).to_reader(), ...), then "
            'job.to_parquet(path, prefix="ai_")'
        )
    else:
        fix = f'df.drop(columns={taken}).bf.requests(...), then df.bf.join(job, prefix="ai_")'
    raise ColumnError.taken(taken, "Fix: " + fix + ".")


def join(
    frame: _Frame,
    *jobs: Job | str,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> _Frame:
    """Join the answers of jobs to the rows of a frame, as new columns.

    Each row is rendered again and matched to its answer by the content of its request, so you may
    sort, filter or re-index the frame first; a row that was edited is ``missing``.

    Parameters
    ----------
    frame
        The frame that was submitted, or any other with the columns of the prompt; not modified. A
        DataFrame of pandas or Polars (also in a narwhals wrapper), an Arrow table, a DuckDB
        relation, or a Dataset of Hugging Face. For data larger than memory, see
        :meth:`Job.to_parquet`.
    jobs
        Jobs, or their ids or names. If several are passed, a row takes the answer of the first
        job with status ``ok``, else the status of the last job that has its request.
    prefix
        Prefix of each new column name.
    details
        Whether to add tokens, cost, finish reason, ``custom_id`` and the raw answer: see
        :meth:`Job.results`. With several jobs, ``bf_cost`` is the total for the row.
    overwrite
        Whether to replace columns of the same names.

    Returns
    -------
    A new frame of the same library, length, index and dtypes, with the answer columns,
    ``bf_status`` and ``bf_error``. A DuckDB relation belongs to the default connection.

    Raises
    ------
    ColumnError
        If a new column name is taken, or the jobs have different answer columns.
    TemplateError
        If a column of the prompt is missing.
    RequestError
        If `frame` is of another type, or no job is passed.
    JobError
        If a job is not found, or its folder is damaged.

    Warns
    -----
    JoinWarning
        If fewer than half of the rows match a request, or the first that does not differs only in
        dtype, white space or case.

    Examples
    --------
    >>> import batchframe.local
    >>> frame = pd.DataFrame({"text": ["fine", "poor"]}, index=["x", "y"])
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     labels = frame.bf.requests("{{ text }}", model="gpt-6-luna", output=["+", "-"])
    ...     job = labels.submit("tone", client=server.client()).wait()
    >>> frame.iloc[::-1].bf.join("tone")[["text", "label", "bf_status"]]
       text label bf_status
    y  poor     +        ok
    x  fine     +        ok
    >>> join(frame, job).columns.tolist()
    ['text', 'label', 'bf_status', 'bf_error']
    """
    frame, wrap = unwrap(frame)
    kind = kind_of(frame)
    if kind is None and not isinstance(frame, pd.DataFrame):
        raise RequestError.not_a_frame(frame)
    if not jobs:
        raise RequestError("join(): no job. Fix: df.bf.join(job).")
    for job in jobs:
        if not isinstance(job, Job | str | Path):
            raise RequestError(
                f"join(): not a job, name or id ({type(job).__name__}). Fix: df.bf.join(*jobs)."
            )
    handles = [job if isinstance(job, Job) else Job(find(job)) for job in jobs]
    records = [handle._record for handle in handles]
    pairs = zip(handles, records, strict=True)
    answers = [handle._answers(record) for handle, record in pairs]
    answers = [billed(answer) for answer in answers] if details else answers
    if kind is None:
        check = partial(warn_of_missing, frame, answers, records)
        append: Callable[..., Any] = partial(join_answers, check=check)
    else:
        append = partial(join_columns, kind=kind)
    joined: _Frame = wrap(
        append(frame, answers, prefix=prefix, details=details, overwrite=overwrite)
    )
    return joined


def recover(client: OpenAI | None = None) -> list[Job]:
    """Recover the jobs on the server that have no folder here, newest first.

    For a lost disk or a new machine. ``job.wait()`` downloads the answers. The server stores
    neither the frame nor the template: ``job.results()`` has one row per request, in the order of
    the requests. Run the cell that submitted the job again, which costs nothing, and the job joins
    as before.

    Parameters
    ----------
    client
        The client that submitted the jobs; by default one made from ``OPENAI_API_KEY``.

    Raises
    ------
    ClientError
        If ``OPENAI_API_KEY`` is not set.
    ServiceError
        If the service cannot be reached.

    Warns
    -----
    UnrecoveredBatchWarning
        For each batch whose input file is deleted or differs from the one sent.

    Examples
    --------
    >>> import os, shutil
    >>> import batchframe.local
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     batch = requests(pd.DataFrame({"t": ["a", "b"]}), "{{ t }}", model="gpt-6-luna")
    ...     lost = batch.submit("lost", client=server.client()).wait()
    ...     shutil.rmtree(lost.folder)
    ...     [found] = recover(server.client())
    ...     found.wait().results()[["response", "bf_status"]]
      response bf_status
    0      yes        ok
    1      yes        ok
    """
    service = connect(client)
    return [Job(folder, service) for folder in restore(service)]


def job(name: str | Path, client: OpenAI | None = None) -> Job:
    """Find a job by its name, id or folder.

    Parameters
    ----------
    name
        Name, id, or path of the job's folder. If several jobs have the name, the newest.
    client
        The client that submitted the job; by default one made from ``OPENAI_API_KEY``. Reading
        downloaded answers needs no client.

    Raises
    ------
    JobError
        If the job is not found.

    Examples
    --------
    >>> job("nothing of that name")
    Traceback (most recent call last):
        ...
    batchframe.errors.JobError: Job 'nothing of that name' not found. ...
    """
    return Job(find(name), client=client)
