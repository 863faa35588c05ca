"""The exceptions and warnings that batchframe raises.

BatchframeError
├── InputError (ValueError)          found before a file is written or a byte is sent
│   ├── TemplateError                the prompt template
│   ├── ColumnError                  the columns of the frame
│   ├── CellError                    one cell's value
│   ├── OutputSpecError              what `output=` asks for
│   ├── RequestError                 the request body or its size
│   ├── FileIsThereError (FileExistsError)
│   ├── CommandError                 what was written on the command line
│   └── CostError                    `max_cost` and prices
├── WebhookError                     a request that is not the service's word
├── ClientError                      the client: none, the wrong kind, or another account's
├── SubmissionError                  the service refused to take the job
│   └── SentElsewhere                it was sent before, from a folder that is gone
├── SubmissionUncertain              nobody can know yet whether the batch was created
├── ServiceError                     the service's answer was unusable, or it could not be reached
├── JobError                         a job's folder: not found, damaged, newer, or in use
│   └── JobTimeout (TimeoutError)    the time to wait is over; the job goes on
├── LocalServerError                 the local batch server cannot start
└── ExtraError (ImportError)         an optional package is not installed

UserWarning
├── TemplateWarning                  a template that may not say what was meant
├── ParameterWarning                 a parameter of the body that OpenAI does not know
├── ReasoningWarning                 a limit that reasoning tokens may pass
├── IntervalWarning                  a limit held against what is likely, no bound
├── UnrecoveredBatchWarning          a batch on the server whose job could not be rebuilt
├── NamesakeWarning                  a new job has the name of another
├── SeveralBatchesWarning            one input is in several batches, each of them billed
├── OpenFolderWarning                a folder of batchframe's that others could use
└── UnreadableJobWarning             a job's folder that was left out of a list
"""

from __future__ import annotations

from batchframe._base.errors import (
    BatchframeError,
    CellError,
    ClientError,
    ColumnError,
    CommandError,
    CostError,
    ExtraError,
    FileIsThereError,
    InputError,
    IntervalWarning,
    JobError,
    JobTimeout,
    LocalServerError,
    NamesakeWarning,
    OpenFolderWarning,
    OutputSpecError,
    ParameterWarning,
    ReasoningWarning,
    RequestError,
    SentElsewhere,
    ServiceError,
    SeveralBatchesWarning,
    SourceError,
    SubmissionError,
    SubmissionUncertain,
    TemplateError,
    TemplateWarning,
    UnreadableJobWarning,
    UnrecoveredBatchWarning,
    WebhookError,
)


def _all_the_same(name: str) -> str:
    return f' To send it all the same: requests(..., allow=["{name}"]).'


def _meanings(tiers: Mapping[str, str]) -> str:
    return "".join(f"\n  {tier}: {meaning}" for tier, meaning in tiers.items())


def _brief(reason: object, most: int = 200) -> str:
    text = " ".join(str(reason).split()).rstrip(".")
    return text if len(text) <= most else f"{text[:most]}…"


def _reason(reason: object) -> str:
    # Pydantic ends its messages with a link to a page about them.
    return _brief(str(reason).partition("For further information")[0])


_KEYWORD_REMEDIES = {
    "allOf": "Write the fields of all its parts into one model.",
    "prefixItems": "A tuple's places have no names: use a model with named fields, or a list.",
    "uniqueItems": "Use list[...] in place of a set, and drop duplicates afterwards.",
    "patternProperties": "Name every key: use a model with named fields, or a list of pairs.",
    "propertyNames": "Name every key: use a model with named fields, or a list of pairs.",
    "minProperties": "Every field is always there in strict mode: take it out.",
    "maxProperties": "Every field is always there in strict mode: take it out.",
    "if": "Use 'anyOf', or optional fields (T | None), and say in the prompt when they apply.",
    "not": "Say in the prompt what is not allowed.",
    "nullable": "Use type: ['string', 'null'], or str | None.",
}


class BatchframeError(Exception):
    """The root: ``except bf.errors.BatchframeError`` catches all that batchframe raises."""

    def __init__(self, message: object = "") -> None:
        # A service's words may be anything; a terminal obeys control characters.
        super().__init__(visible_lines(str(message)))

    def _render_traceback_(self) -> list[str]:
        """Show the user's own lines in a notebook: IPython asks for this."""
        return notebook_lines(self)


class InputError(BatchframeError, ValueError):
    """Something given to batchframe cannot be used. Nothing was written and nothing was sent."""


class TemplateError(InputError):
    """A prompt template that cannot be rendered."""

    @classmethod
    def not_a_prompt(cls, prompt: object) -> Self:
        return cls(
            f"The prompt is a {type(prompt).__name__}. It must be a template such as "
            '"Classify: {{ text }}", a list of messages such as '
            '[{"role": "user", "content": "Classify: {{ text }}"}], or a function of a row that '
            "returns one of these."
        )

    @classmethod
    def not_a_message(cls, position: int, message: object) -> Self:
        return cls(
            f"Message {position} of the prompt, {_brief(repr(message), 60)}, is none: it needs a "
            '"role", and a "content" that is a text or a list of parts, such as '
            '{"role": "user", "content": "Classify: {{ text }}"}.'
        )

    @classmethod
    def not_a_system(cls, system: object) -> Self:
        return cls(
            f"system= is a {type(system).__name__}. It must be a template, such as "
            'system="You label reviews."; for several system messages, pass the prompt as a list.'
        )

    @classmethod
    def system_with_function(cls, source: str) -> Self:
        return cls(
            f"A function makes the prompts, so system={_short(source)} cannot name columns. Let "
            'the function return messages, the first {"role": "system", "content": ...}.'
        )

    @classmethod
    def messages_for_text(cls, endpoint: str) -> Self:
        return cls(
            f"The prompt is a list of messages, and {endpoint} takes one text: a template such as "
            '"{{ text }}", or a function of a row that returns a text.'
        )

    @classmethod
    def not_of_the_row(cls, first: tuple[int, object], second: tuple[int, object]) -> Self:
        return cls(
            f"The prompt function made different prompts of {_row(*first)} and {_row(*second)}, "
            "whose cells read the same, so nobody could tell later which answer belongs to which. "
            "Whatever else it needs (a counter, something drawn by chance), put it into a column "
            "of the frame first."
        )

    @classmethod
    def no_user_message(cls) -> Self:
        return cls(
            "images= goes behind the text of the last message of the user, and the prompt has no "
            'message with role="user" and a content. Add one: {"role": "user", "content": '
            '"Describe the picture."}.'
        )

    @classmethod
    def empty_placeholder(cls, source: str) -> Self:
        return cls(
            f"The template {_short(source)} has an empty placeholder. Put a column's name between "
            "the braces: {{ text }}. To write two braces as they are, double them: {{{{."
        )

    @classmethod
    def no_column(cls, columns: Sequence[str]) -> Self:
        example = columns[0] if columns else "text"
        return cls(
            "The prompt names no column, so every row would ask the same. Name at least one, for "
            f"example {{{{ {example} }}}}. Columns: {_listed(columns)}."
        )

    @classmethod
    def unknown_column(cls, name: str, near: Sequence[str], columns: Sequence[str]) -> Self:
        guess = f"Did you mean {{{{ {near[0]} }}}}? " if near else ""
        return cls(
            f"The template names {{{{ {_brief(name, 60)} }}}}, but the frame has no such column. "
            f"{guess}Columns: {_listed(columns)}. To write two braces as they are, double them: "
            "{{{{."
        )

    @classmethod
    def unknown_filter(cls, form: str, name: str) -> Self:
        return cls(
            f"{{{{ {name} | {form} }}}} asks for the filter {form!r}. There is one filter: "
            f"{{{{ {name} | json }}}}."
        )

    @classmethod
    def function_with_stand_in(cls, on_missing: str) -> Self:
        return cls(
            f"on_missing={on_missing!r} fills the cells of a template, but here a function makes "
            'the prompts. Let it return None for a row without a prompt and use on_missing="skip" '
            'or "raise".'
        )

    @classmethod
    def function_failed(cls, position: int, label: object, reason: BaseException) -> Self:
        return cls(
            f"The prompt function failed at {_row(position, label)}: "
            f"{type(reason).__name__}: {str(reason).rstrip('.')}. Try it alone: "
            f"function(df.iloc[{position}].to_dict())."
        )


class SourceError(InputError):
    """Rows that cannot be read, or not twice the same."""

    @classmethod
    def not_rows(cls, source: object) -> Self:
        return cls(
            "batchframe.requests takes a DataFrame, the path of a Parquet file or of a folder of "
            "them, or an Arrow dataset, table, record batch or record-batch reader, not "
            f'a {type(source).__name__}. For one column of a frame: df[["text"]]; for a Series or '
            'a list of texts: pd.DataFrame({"text": texts}).'
        )

    @classmethod
    def no_such_path(cls, path: str) -> Self:
        return cls(
            f"There is no file or folder {path!r}. A path names a Parquet file or a folder of "
            "them; other formats are read first: batchframe.requests(pd.read_csv(path), ...)."
        )

    @classmethod
    def unreadable(cls, path: str, reason: str) -> Self:
        return cls(
            f"{path} cannot be read as Parquet or Arrow: {reason.rstrip('.')}. Other formats are "
            "read first: batchframe.requests(pd.read_csv(path), ...)."
        )

    @classmethod
    def an_address(cls, address: str) -> Self:
        return cls(
            f"{address} is an address, and batchframe.requests opens files of this machine. Open "
            "it with Arrow, which knows your store: batchframe.requests(pyarrow.dataset.dataset("
            f'{address!r}, format="parquet", partitioning="hive"), ...).'
        )

    @classmethod
    def no_files(cls, path: str) -> Self:
        return cls(
            f"There is no file in {path}, but for those whose names begin with a dot or an "
            "underscore, which are no rows."
        )

    @classmethod
    def unlike_the_others(cls, folder: str, path: str, reason: str) -> Self:
        return cls(
            f"{path} cannot be read together with the files before it in {folder}: "
            f"{reason.rstrip('.')}. Say what the columns are: batchframe.requests("
            f'pyarrow.dataset.dataset({folder!r}, schema=..., partitioning="hive"), ...).'
        )

    @classmethod
    def twice(cls, path: str, first: str, second: str) -> Self:
        return cls(
            f"{first} and {second} are the same file, by a symbolic link, so that its rows would "
            f"be read twice. Remove the link from {path}, or give the files one by one: "
            "batchframe.requests(pyarrow.dataset.dataset([...]), ...)."
        )

    @classmethod
    def of_other_type(cls, path: str, column: str, kind: str, wanted: str, reason: str) -> Self:
        return cls(
            f"{path}: column {column!r} is stored as {kind}, and cannot be read as {wanted}, as "
            f"the dataset has it: {reason.rstrip('.')}. Give the dataset a schema that fits all "
            "its files: pyarrow.dataset.dataset(paths, schema=...)."
        )

    @classmethod
    def no_text(cls, column: str, kind: str, reason: str = "pandas has no values for them") -> Self:
        return cls(
            f"Column {column!r}, which Arrow stores as {kind}, has cells without an exact text: "
            f"{reason.rstrip('.')}. Make it a text first, where the rows come from."
        )

    @classmethod
    def read_already(cls) -> Self:
        return cls(
            "This record-batch reader was read already, and can be read only once. Make it anew in "
            "the same cell, or write the rows to a Parquet file and give its path."
        )

    @classmethod
    def not_copied(cls, folder: str, reason: str) -> Self:
        return cls(
            f"Rows that can be read only once are first copied to {folder}, and could not be: "
            f"{reason.rstrip('.')}. Make room there, name another folder with the environment "
            "variable TMPDIR before the kernel starts, or write the rows to a Parquet file and "
            "give its path."
        )

    @classmethod
    def not_given(cls, path: str) -> Self:
        return cls(
            "This job's rows were in memory, so they are not known here. Give them: "
            f"job.to_parquet({path!r}, df)."
        )

    @classmethod
    def moved(cls, path: str, source: str) -> Self:
        return cls(
            f"The rows of this job were in {source}, which is not there any more. Say where they "
            f"are: job.to_parquet({path!r}, source)."
        )

    @classmethod
    def written_into(cls, path: str, folder: str) -> Self:
        return cls(
            f"{path} lies in the folder that the rows are read from, {folder}, and would be taken "
            "for rows the next time. Write it elsewhere."
        )

    @classmethod
    def written_over(cls, path: str) -> Self:
        return cls(
            f"{path} is a file that the rows are read from. Write their answers beside it, under "
            "another name."
        )

    @classmethod
    def a_folder(cls, path: str) -> Self:
        example = f"{path}/labelled.parquet"
        return cls(f"{path} is a folder. Name the file to write: job.to_parquet({example!r}).")

    @classmethod
    def not_of_parquet(cls, reason: str) -> Self:
        return cls(
            f"A column of the source cannot be written to Parquet: {reason.rstrip('.')}. Give the "
            "rows without it, or with one type and one name: job.to_parquet(path, rows)."
        )

    @classmethod
    def repeated_columns(cls, names: Sequence[str]) -> Self:
        return cls(
            f"Several columns of the source are named {_listed(names)}, so it cannot be read by "
            "name. Rename them: table.rename_columns([...])."
        )

    @classmethod
    def interrupted(cls, path: str, reason: str) -> Self:
        return cls(
            f"{path} could not be read to its end: {reason.rstrip('.')}. Leave it as it is while "
            "it is read, and run the cell again."
        )

    @classmethod
    def of_other_length(cls, path: str, rows: int, had: int) -> Self:
        return cls.interrupted(path, f"it has {rows:,} rows now, and had {had:,}")

    @classmethod
    def changed_row(cls, row: int) -> Self:
        return cls(
            f"Row {row} of the source is no longer what it was when the requests were made. "
            "Nothing was sent. Leave it as it is until submit() returns, and make the requests "
            "again."
        )


class ColumnError(InputError):
    """A column that is absent, ambiguous or already there."""

    @classmethod
    def ambiguous(cls, name: str, positions: Sequence[int]) -> Self:
        return cls(
            f"{len(positions)} columns answer to {{{{ {name} }}}} (positions "
            f"{_listed(positions)}), so the prompt does not say which it means. Rename them: "
            "df.columns = [...]."
        )

    @classmethod
    def not_the_same(cls, name: str, columns: Sequence[str]) -> Self:
        there = columns.count(name)
        state = f"{there} columns" if there else "no column"
        return cls(
            "Where a function makes the prompts, a row is known by its cells in all the columns "
            f"that the function could see, and this frame has {state} named {name!r}. Use a frame "
            f"with one column of each name. Columns: {_listed(columns)}."
        )

    @classmethod
    def reserved(cls, names: Sequence[str]) -> Self:
        return cls(
            f"An answer column cannot be named {_listed(names)}: names that begin with bf_ are "
            "those of batchframe's own columns, such as bf_status. Choose another."
        )

    @classmethod
    def different_answers(cls, first: Sequence[str], second: Sequence[str]) -> Self:
        return cls(
            f"These jobs do not answer the same question: one gives {_listed(first)}, another "
            f"{_listed(second)}. Join one after the other, under names of their own: "
            'df.bf.join(first).bf.join(second, prefix="second_").'
        )

    @classmethod
    def taken(cls, names: Sequence[str], remedy: str) -> Self:
        return cls(f"The frame already has {_listed(names)}, where the answers would go. {remedy}")

    @classmethod
    def not_a_frame(cls, verb: str, frame: object) -> Self:
        return cls(
            f"{verb}() reads columns of a pandas DataFrame, and this is a {type(frame).__name__}. "
            "Join a job's answers to its frame first: labelled = df.bf.join(job)."
        )

    @classmethod
    def not_a_name(cls, cells: object) -> Self:
        return cls(
            f"A column is given by its name, and this is a {type(cells).__name__}. Make it a "
            'column of the frame first: df.assign(truth=...), then truth="truth".'
        )

    @classmethod
    def not_there(cls, name: object, near: Sequence[str], columns: Sequence[object]) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"The frame has no column {_builtin(name)!r}. {guess}Columns: {_listed(columns)}."
        )

    @classmethod
    def several(cls, name: object, positions: Sequence[int]) -> Self:
        return cls(
            f"{len(positions)} columns are named {_builtin(name)!r} (positions "
            f"{_listed(positions)}), so it is not clear which is meant. Rename them: "
            "df.columns = [...]."
        )

    @classmethod
    def given_twice(cls, name: object) -> Self:
        return cls(f"Column {_builtin(name)!r} would be compared with itself. Name another column.")

    @classmethod
    def not_a_label(cls, column: object, position: int, label: object, kind: str) -> Self:
        column = _builtin(column)
        return cls(
            f"Column {column!r}, {_row(position, label)}: the cell is a {kind}, and a label is one "
            f"value. Give each of its values a row: df.explode({column!r}), or write it as a text: "
            f"df[{column!r}].map(str)."
        )

    @classmethod
    def other_kinds(
        cls, first: object, kinds: Sequence[str], second: object, others: Sequence[str]
    ) -> Self:
        return cls(
            f"Column {_builtin(first)!r} holds {' and '.join(kinds)}, column "
            f"{_builtin(second)!r} holds {' and '.join(others)}: no label of one can equal one of "
            "the other. Write one as the other is written, for example "
            f'df[{_builtin(first)!r}].map({{1: "one"}}).'
        )

    @classmethod
    def too_many_labels(cls, names: Sequence[object], count: int, most: int) -> Self:
        return cls(
            f"There are {count:,} different values in {_listed(names)}, and at most {most:,} can "
            "be taken for labels. Are these texts or numbers? Make classes of them first: "
            'pd.cut(df["x"], bins=10).'
        )

    @classmethod
    def value_without_answer(
        cls, predicted: object, status: object, count: int, row: tuple[int, object], word: object
    ) -> Self:
        predicted, status = _builtin(predicted), _builtin(status)
        return cls(
            f"In {count:,} of the rows there is a value in {predicted!r} although {status!r} says "
            f"that they have no answer. The first is {_row(*row)}, with {word!r}. If {status!r} is "
            "about another column, pass status=None, or the name of the right one. If you filled "
            "the gaps, evaluate before that: a default is no answer."
        )

    @classmethod
    def too_few_to_agree(cls, columns: object) -> Self:
        return cls(
            "agreement() compares two columns or more, and this is "
            f'{_brief(repr(columns), 60)}. Name them in a list: ["label", "second_label"].'
        )

    @classmethod
    def no_token_counts(cls, names: Sequence[str]) -> Self:
        return cls(
            f"The frame has no column {' and no '.join(map(repr, names))}. Pass the job, or join "
            "with its details: df.bf.join(job, details=True); if it was joined under other names, "
            'say so: prefix="second_".'
        )


class CellError(InputError):
    """A cell that has no exact text, or is no image that may be sent."""

    @classmethod
    def no_values(
        cls, column: object, kind: str, reason: str = "pandas has no values for them"
    ) -> Self:
        column = _builtin(column)
        # pandas can map no such column, but read it cell by cell.
        text = "cell.decode()" if "bytes" in reason else "str(cell)"
        return cls(
            f"Column {column!r}, which Arrow stores as {kind}, has cells without an exact text: "
            f"{reason.rstrip('.')}. Make it a text first: df[{column!r}] = [None if cell is pd.NA "
            f"else {text} for cell in df[{column!r}]]."
        )

    @classmethod
    def no_exact_text(cls, column: object, position: int, label: object, why: str) -> Self:
        column = _builtin(column)
        # Of Arrow's columns, too; those have no str.decode().
        remedy = 'map(bytes.decode, na_action="ignore")' if "bytes" in why else "map(str)"
        return cls(
            f"Column {column!r}, {_row(position, label)}: the cell {why}. Make it a text first: "
            f"df[{column!r}].{remedy}."
        )

    @classmethod
    def seen_by_function(cls, reason: str) -> Self:
        return cls(
            f"{reason} Or keep such columns from the prompt function, "
            'df.drop(columns=["image"]).bf.requests(function, ...): a row is known by its cells in '
            "all the columns that the function could see."
        )

    @classmethod
    def lone_surrogate(cls, column: object, position: int, label: object) -> Self:
        column = _builtin(column)
        return cls(
            f"Column {column!r}, {_row(position, label)}: the text holds half of a surrogate pair, "
            "which cannot be sent. Replace it: "
            f"df[{column!r}].str.encode('utf-8', 'replace').str.decode('utf-8')."
        )

    @classmethod
    def missing(
        cls,
        count: int,
        rows: int,
        positions: Sequence[int],
        labels: Sequence[object],
        reasons: Sequence[str],
    ) -> Self:
        shown = "\n".join(
            f"  {_row(position, label)}: {reason}"
            for position, label, reason in zip(positions, labels, reasons, strict=True)
        )
        more = f"\n  and {count - len(positions):,} more" if count > len(positions) else ""
        return cls(
            f"{count:,} of {rows:,} rows cannot be asked:\n{shown}{more}\n"
            'Choose what happens to them: on_missing="skip" leaves them out (nothing sent, nothing '
            'billed), on_missing="empty" asks with an empty text, and any other text, for example '
            'on_missing="(no text)", stands for what is missing.'
        )

    @classmethod
    def no_images(
        cls,
        count: int,
        rows: int,
        positions: Sequence[int],
        labels: Sequence[object],
        reasons: Sequence[str],
    ) -> Self:
        shown = "\n".join(
            f"  {_row(position, label)}: {reason}"
            for position, label, reason in zip(positions, labels, reasons, strict=True)
        )
        more = f"\n  and {count - len(positions):,} more" if count > len(positions) else ""
        return cls(
            f"{count:,} of {rows:,} rows have images that cannot be sent:\n{shown}{more}\n"
            "A cell is an https: or data: URL, bytes or a PIL image; or, with "
            'image_root="photos", the path of a file below that folder. Correct these cells, or '
            'make them missing and leave those rows out with on_missing="skip".'
        )

    @classmethod
    def image_changed(cls, position: int, label: object) -> Self:
        where = _row(position, label)
        return cls(
            f"{where[0].upper()}{where[1:]}: an image is not what it was when the requests were "
            "made, so nothing was sent. Run the cell with df.bf.requests(...) again."
        )


class TemplateWarning(UserWarning):
    """A template that may not say what was meant."""

    @classmethod
    def almost_a_placeholder(cls, written: str, name: str) -> Self:
        return cls(
            f"{_short(written)} is sent to the model as it stands, yet the frame has a column of "
            f"that name. To put the column's text there, write {{{{ {name} }}}}."
        )


class OutputSpecError(InputError):
    """An output spec that the service's strict mode would refuse."""

    @classmethod
    def not_a_spec(cls, output: object, reason: object) -> Self:
        return cls(
            f"output={_brief(repr(output), 60)} cannot become a JSON schema: {_reason(reason)}. "
            'Pass a list of labels such as ["positive", "negative"], a Literal, an Enum class, a '
            "Pydantic model, a TypedDict, a dataclass, a type such as int, a JSON schema, or None "
            "for text."
        )

    @classmethod
    def single_text(cls, output: str) -> Self:
        return cls(
            f"output={_short(output)} is a text. For labels, pass a list of all of them: "
            'output=["positive", "negative"]; for a text answer, leave output= out.'
        )

    @classmethod
    def labels_without_order(cls, kind: str, call: str) -> Self:
        return cls(
            f"output= is a {kind}. Pass the labels as a list, so that their order is yours: "
            f"output={call}."
        )

    @classmethod
    def no_labels(cls, path: str) -> Self:
        return cls(
            f"{path} has no labels to choose from. Name at least one: "
            'output=["positive", "negative"].'
        )

    @classmethod
    def repeated_labels(cls, path: str, labels: Sequence[object]) -> Self:
        return cls(
            f"{path} names {_listed(labels)} more than once. Name each label once, for example "
            "output=list(dict.fromkeys(labels))."
        )

    @classmethod
    def bad_labels(cls, path: str, labels: Sequence[object]) -> Self:
        return cls(
            f"The labels of {path} must be all texts or all whole numbers; among them are "
            f"{_listed(labels)}. Write them as texts: output=[str(label) for label in labels]. For "
            "yes or no, pass output=bool."
        )

    @classmethod
    def one_boolean(cls, path: str, value: object) -> Self:
        return cls(f"{path} can only be {value!r}, so it asks nothing. Use bool, or leave it out.")

    @classmethod
    def wrapped_schema(cls, keys: Sequence[str]) -> Self:
        way = "".join(f'["{key}"]' for key in keys)
        return cls(
            "output= is a whole response format; batchframe writes that part itself. Pass the "
            f"schema inside it: output=response_format{way}."
        )

    @classmethod
    def untyped(cls, path: str) -> Self:
        return cls(
            f"{path} does not say what it holds (Any, object, a bare list, or a schema without "
            "'type'), and strict mode refuses what has no type. Give it one: str, float, "
            "list[str], or a model with named fields."
        )

    @classmethod
    def unknown_type(cls, path: str, name: object) -> Self:
        return cls(
            f"{path} has the type {_brief(repr(name), 60)}, which JSON schema does not have. Use "
            "string, number, integer, boolean, object, array or null."
        )

    @classmethod
    def free_form(cls, path: str) -> Self:
        return cls(
            f"{path} has keys that are not known in advance (a dict, or extra='allow'); strict "
            "mode wants every key named. Use a model with named fields, or a list of pairs: "
            "class Pair(BaseModel): key: str; value: int, and then list[Pair]."
        )

    @classmethod
    def empty_object(cls, path: str) -> Self:
        return cls(
            f"{path} is an object without any field, so there is nothing to answer. Give it a "
            "field, or leave it out."
        )

    @classmethod
    def unsupported_keyword(cls, path: str, keyword: str) -> Self:
        remedy = _KEYWORD_REMEDIES.get(keyword, f"Take {keyword!r} out.")
        return cls(f"{path} uses {keyword!r}, which strict mode refuses. {remedy}")

    @classmethod
    def mixed_keywords(cls, path: str, keyword: str) -> Self:
        return cls(
            f"{path} has 'anyOf' and {keyword!r} side by side, which strict mode refuses. Move "
            f"{keyword!r} into each of the alternatives."
        )

    @classmethod
    def bad_value(cls, path: str, keyword: str, value: object, wanted: str) -> Self:
        return cls(f"{path} has {keyword}={_brief(repr(value), 60)}; it must be {wanted}.")

    @classmethod
    def unsupported_format(cls, path: str, form: object, known: Sequence[str]) -> Self:
        return cls(
            f"{path} is a text of the format {form!r} (a URL, a path, bytes, ...); strict mode "
            f"knows {_listed(known)}. Use str, and say in Field(description=...) what it holds."
        )

    @classmethod
    def lookaround(cls, path: str, pattern: str) -> Self:
        return cls(
            f"The pattern of {path}, {_short(pattern)}, looks ahead or behind, which strict mode "
            "refuses. Write it without (?=, (?!, (?<= and (?<!, or check the column afterwards."
        )

    @classmethod
    def bad_reference(cls, path: str, reference: object) -> Self:
        return cls(
            f"{path} refers to {_short(str(reference))}, which is not there. A reference must name "
            "a definition at the top of the schema, such as '#/$defs/Address'."
        )

    @classmethod
    def reference_to_root(cls, path: str) -> Self:
        return cls(
            f"{path} refers to '#', yet the schema is not an object and is put into one. Move it "
            "to '$defs' and refer to it there, such as '#/$defs/Node'."
        )

    @classmethod
    def bad_property_name(cls, path: str, name: object) -> Self:
        return cls(
            f"{path} has a field named {_brief(repr(name), 60)}. The name of a field must be a "
            "text without quotes, backslashes and control characters: rename it."
        )

    @classmethod
    def too_large(cls, what: str, count: int, most: int) -> Self:
        return cls(
            f"The output schema has {count:,} {what}; the service takes up to {most:,}. Ask for "
            "less in one request, or ask in two steps: first the group, then what is in it."
        )

    @classmethod
    def too_deep(cls, path: str, most: int) -> Self:
        return cls(
            f"{path} lies more than {most} objects deep; the service takes up to {most}. Make "
            "the model flatter."
        )

    @classmethod
    def repeated_columns(cls, names: Sequence[str]) -> Self:
        return cls(
            f"Two answer columns would both be named {_listed(names)} (a nested field is named "
            "parent.field). Rename one of the fields."
        )

    @classmethod
    def bad_column_name(cls, name: object) -> Self:
        return cls(f"name={name!r} cannot name the answer column. Pass a text: name='stance'.")

    @classmethod
    def name_for_several(cls, name: str, columns: Sequence[str]) -> Self:
        return cls(
            f"name={name!r} renames one answer column, but this output has {len(columns)}: "
            f"{_listed(columns)}. Put something before all of them when you join: "
            f"df.bf.join(job, prefix={name + '_'!r})."
        )


class RequestError(InputError):
    """A request body that the service would refuse."""

    @classmethod
    def not_a_frame(cls, frame: object) -> Self:
        return cls(
            f"join() adds columns to a pandas DataFrame, and this is a {type(frame).__name__}. "
            "For rows that memory need not hold: job.to_parquet(path, source)."
        )

    @classmethod
    def no_job(cls) -> Self:
        return cls("join() needs a job whose answers to add: df.bf.join(job).")

    @classmethod
    def not_a_job(cls, job: object) -> Self:
        return cls(
            f"join() takes jobs, their names or ids, and this is a {type(job).__name__}. For "
            "several, pass each: df.bf.join(*jobs)."
        )

    @classmethod
    def not_a_word(cls, keyword: str, value: object, wanted: str) -> Self:
        return cls(f"{keyword}={_brief(repr(value), 60)} is not {wanted}.")

    @classmethod
    def other_shape(cls, service: str, how: str) -> Self:
        return cls(
            f"{service} does not take files of requests, as OpenAI's Batch API does: it takes "
            f"batches {how}. Nothing was sent. Pass the client of another service, or rehearse: "
            "requests.submit(client=batchframe.local.serve().client())."
        )

    @classmethod
    def no_batches_for(
        cls, endpoint: str, service_key: str, service: str, known: Sequence[str]
    ) -> Self:
        return cls(
            f"{service} is not known to have batches for {endpoint}; it has them for "
            f"{_listed(known)}. Ask one of these: requests(..., endpoint={known[0]!r}). If it has "
            f"them by now, say so: submit(provider=bf.provider({service_key!r}, endpoints=None))."
        )

    @classmethod
    def a_file_for_a_folder(cls, path: str, folder: str) -> Self:
        return cls(
            f"{path!r} is the name of a file; to_jsonl() writes one file or more into a folder, "
            f"such as requests-000.jsonl. Name the folder: requests.to_jsonl({folder!r})."
        )

    @classmethod
    def too_large(cls, row: int, label: object, size: int, limit: int, service: str) -> Self:
        where = _row(row, label)
        return cls(
            f"{where[0].upper()}{where[1:]} makes a request of {size:,} bytes, more than the "
            f"{limit:,} bytes that {service} takes in one input file. Shorten it, for example "
            'df["text"] = df["text"].str.slice(0, 100_000), or leave the row out.'
        )

    @classmethod
    def too_many_tokens(cls, row: int, label: object, tokens: int, limit: int) -> Self:
        return cls(
            f"{_row(row, label).capitalize()} makes a request of {tokens:,} input tokens, above "
            f"max_enqueued_tokens={limit:,}: it would never be let into the queue. Raise the "
            "limit, or shorten the row."
        )

    @classmethod
    def under_way(cls, jobs: Mapping[str, int]) -> Self:
        told = ", ".join(f"{number:,} in job {job!r}" for job, number in jobs.items())
        job = next(iter(jobs))
        return cls(
            f"Some of these requests are being asked at this moment ({told}), and would be paid "
            f"twice. Wait for their answers, bf.job({job!r}).wait(), and submit again: then only "
            "the others are sent. Or send them twice: submit(reuse=False)."
        )

    @classmethod
    def not_counted(cls, endpoint: str) -> Self:
        return cls(
            f"The API counts the input tokens of chat completions and responses, not those of "
            f"{endpoint}. Leave check=True out: estimate()."
        )

    @classmethod
    def not_written(cls, folder: str, reason: str) -> Self:
        return cls(
            f"The input files could not be written into {folder}: {reason}. What is there of them "
            "is not whole. Choose a folder where there is room and you may write: "
            'to_jsonl("folder").'
        )

    @classmethod
    def unknown_endpoint(cls, path: str, near: Sequence[str], known: Sequence[str]) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"batchframe does not speak the endpoint {path!r}. {guess}It speaks {_listed(known)}."
        )

    @classmethod
    def no_system(cls, endpoint: str) -> Self:
        return cls(
            f"{endpoint} takes one text and no system message. Leave system= out, or write it into "
            "the prompt."
        )

    @classmethod
    def no_output(cls, endpoint: str, answers: str) -> Self:
        return cls(f"{endpoint} cannot be told what to answer: leave output= out; {answers}.")

    @classmethod
    def no_name(cls, endpoint: str, name: str) -> Self:
        return cls(
            f"name={name!r} renames one answer column, and {endpoint} has several. Put something "
            f"before all of them when you join: df.bf.join(job, prefix={name + '_'!r})."
        )

    @classmethod
    def name_taken(cls, endpoint: str, name: str) -> Self:
        return cls(
            f"{endpoint} has a column {name!r} of its own beside the one that name= calls so. "
            "Choose another name."
        )

    @classmethod
    def called_otherwise(cls, name: str, endpoint: str, spelling: str) -> Self:
        return cls(
            f"{endpoint} does not know {name}=, and would refuse every row. Pass {spelling}."
        )

    @classmethod
    def two_formats(cls, endpoint: str) -> Self:
        return cls(
            f"output= and text= both say what form the answers of {endpoint} have. Take the "
            '"format" out of text=; what else it holds may stay.'
        )

    @classmethod
    def tool_of_another_shape(cls, endpoint: str, position: int, key: str) -> Self:
        shape = (
            '{"type": "function", "function": {"name": ..., "parameters": ...}}'
            if key == "function"
            else '{"type": "function", "name": ..., "parameters": ...}'
        )
        return cls(
            f"tools[{position}] is in the form of another endpoint. {endpoint} wants it as {shape}."
        )

    @classmethod
    def missing_field(cls, field: str, endpoint: str) -> Self:
        return cls(
            f"The request body has no {field!r}, which {endpoint} needs. Add it: "
            f'{{**body, "{field}": ...}}.'
        )

    @classmethod
    def images_not_supported(cls, endpoint: str) -> Self:
        return cls(
            f"{endpoint} takes one text and no images. images= goes with "
            'endpoint="/v1/chat/completions", "/v1/responses", "/v1/images/edits" and "/v1/videos".'
        )

    @classmethod
    def needs_images(cls, endpoint: str) -> Self:
        return cls(
            f"{endpoint} edits images, and images= names no column of them: "
            'requests(..., images="photo"). To make images of a text alone, pass '
            'endpoint="/v1/images/generations".'
        )

    @classmethod
    def nothing_to_edit(cls, endpoint: str, on_missing: str) -> Self:
        return cls(
            f"{endpoint} would be asked without an image where a cell is missing, "
            f'on_missing={on_missing!r}. Pass on_missing="skip" to leave such rows out.'
        )

    @classmethod
    def no_detail(cls, endpoint: str) -> Self:
        return cls(
            f"{endpoint} is not told how closely to look: leave image_detail= out "
            '(gpt-image-1.5 takes input_fidelity="high").'
        )

    @classmethod
    def too_many_images(cls, endpoint: str, count: int, most: int) -> Self:
        return cls(
            f"images= names {count:,} columns, and {endpoint} takes {most:,} at most for each row."
        )

    @classmethod
    def no_pilot(cls, endpoint: str) -> Self:
        return cls(
            f"A pilot asks in real time and keeps answers of text; those of {endpoint} are files. "
            "Submit a few rows as a batch of their own: df.head(5).bf.requests(...).submit(). The "
            "batch of all rows takes their answers over."
        )

    @classmethod
    def images_with_function(cls) -> Self:
        return cls(
            "images= goes with a template or messages, and here a function makes the prompts. Let "
            "it return messages whose content holds image_url parts, or write the prompt as a "
            "template."
        )

    @classmethod
    def only_with_images(cls, keyword: str) -> Self:
        return cls(
            f"{keyword}= says how images are sent, and images= does not name their column: "
            'requests(..., images="photo").'
        )

    @classmethod
    def refused_parameter(cls, name: str, why: str) -> Self:
        return cls(f"{name}= cannot be part of these requests: {why}.")

    @classmethod
    def misspelt_keyword(cls, name: str, near: str) -> Self:
        return cls(
            f"{name}= would be sent to the model as a parameter of the request. Did you mean "
            f"{near}=?{_all_the_same(name)}"
        )

    @classmethod
    def belongs_to_submit(cls, name: str) -> Self:
        return cls(
            f"{name}= belongs to submit(), the line that spends: requests(...).submit({name}=...). "
            "Here it would be sent to the model as a parameter of each request."
        )

    @classmethod
    def belongs_to_requests(cls, name: str) -> Self:
        return cls(
            f"{name}= is a parameter of each request's body, not of submit(): "
            f"df.bf.requests(..., {name}=...).submit(...)."
        )

    @classmethod
    def tier_belongs_to_requests(cls, tiers: Mapping[str, str]) -> Self:
        return cls(
            "service_tier= is a parameter of each request's body, not of submit(), and a batch "
            "needs none: it is a tier of its own, billed at the batch price. What each would "
            f"mean:{_meanings(tiers)}\n"
            "Where your service takes one in a batch, put it into the requests: "
            'df.bf.requests(..., service_tier="default").submit(...).'
        )

    @classmethod
    def tier_in_a_batch(cls, tier: str, meaning: str) -> Self:
        return cls(
            f'service_tier="{tier}" has no known place in a batch, which is a tier of its own, '
            f"billed at the batch price. It means {meaning}. Leave service_tier= out."
            f"{_all_the_same('service_tier')}"
        )

    @classmethod
    def model_refuses(
        cls, model: str, name: str, value: object, instead: str, source: str, *, some: bool
    ) -> Self:
        what = f"{name}={_brief(repr(value), 60)}" if some else f"{name}="
        return cls(
            f"{model} refuses {what}, so every request of the batch would fail: {instead} "
            f"({source}).{_all_the_same(name)}"
        )

    @classmethod
    def not_a_word_of_it(
        cls, name: str, value: object, near: Sequence[str], words: Sequence[str]
    ) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"{name}={_brief(repr(value), 60)} would be refused, with every request of the batch. "
            f"{guess}It takes {_listed(words)}.{_all_the_same(name)}"
        )

    @classmethod
    def not_a_number_of_it(cls, name: str, value: object, wanted: str) -> Self:
        return cls(
            f"{name}={_brief(repr(value), 60)} would be refused, with every request of the batch. "
            f"It takes {wanted}."
        )

    @classmethod
    def misspelt_parameter(cls, name: str, near: str, endpoint: str) -> Self:
        return cls(
            f"{endpoint} has no parameter {name}. Did you mean {near}=?{_all_the_same(name)}"
        )

    @classmethod
    def unknown_allowance(cls, names: Sequence[str], known: Sequence[str]) -> Self:
        return cls(
            f"allow= names {_listed(names)}, which is neither a parameter of these requests nor "
            f"one of {_listed(known)}. Name what is to be sent although a check refuses it: "
            'requests(..., temperature=0, allow=["temperature"]).'
        )

    @classmethod
    def shut_down(cls, model: str, on: str, successor: str | None, source: str) -> Self:
        instead = f' Ask its successor: model="{successor}".' if successor else " Ask another."
        return cls(
            f"OpenAI shut {model} down on {on} ({source}), so nothing would be answered.{instead}"
            f"{_all_the_same('model')}"
        )

    @classmethod
    def not_in_batch(cls, model: str, source: str) -> Self:
        return cls(
            f"{model} has no place in OpenAI's Batch API ({source}). Ask another model, such as "
            f'model="gpt-5.6-luna".{_all_the_same("model")}'
        )

    @classmethod
    def other_endpoint(cls, model: str, endpoint: str, instead: str, source: str) -> Self:
        return cls(
            f"{endpoint} does not take {model}, so every request of the batch would fail: "
            f"{instead} ({source}).{_all_the_same('model')}"
        )

    @classmethod
    def beyond_window(
        cls, row: int, label: object, tokens: int, window: int, model: str, count: int
    ) -> Self:
        where = _row(row, label)
        more = "" if count == 1 else f" In all, {count:,} requests are too long."
        return cls(
            f"{where[0].upper()}{where[1:]} makes a request of {tokens:,} input tokens, and "
            f"{model} takes up to {window:,} tokens of input and output together.{more} Shorten "
            'the texts, df["text"] = df["text"].str.slice(0, 400_000), leave the rows out, or ask '
            f"a model with a larger window.{_all_the_same('context_window')}"
        )

    @classmethod
    def json_without_the_word(
        cls, row: int, label: object, *, written: str = "response_format"
    ) -> Self:
        where = _row(row, label)
        return cls(
            'The format {"type": "json_object"} needs the word JSON in the messages, or the '
            f'service refuses the request; {where} has none. Say it in the prompt ("Answer in '
            'JSON."), or ask for columns: output=...'
            f"{_all_the_same(written)}"
        )

    @classmethod
    def not_a_model(cls, model: object) -> Self:
        return cls(f'model={model!r} names no model. Pass its name, such as model="gpt-5.6-luna".')

    @classmethod
    def not_a_policy(cls, on_missing: object) -> Self:
        return cls(
            f'on_missing={on_missing!r} is no text. Pass "raise", "skip", "empty", or the text '
            "that stands for a missing cell."
        )

    @classmethod
    def misspelt_policy(cls, on_missing: str, near: str) -> Self:
        return cls(
            f"on_missing={on_missing!r} would be written into the prompts as it stands. Did you "
            f"mean on_missing={near!r}?"
        )

    @classmethod
    def not_json(cls, path: str, what: str) -> Self:
        return cls(
            f"The value of {path} is {what}, which JSON cannot say. Pass plain numbers, texts, "
            "lists and dicts."
        )


class FileIsThereError(InputError, FileExistsError):
    """A file that would be replaced."""

    @classmethod
    def named(cls, path: str) -> Self:
        return cls(
            f"{path} is there already and is not replaced. Choose another folder, or remove it."
        )


class CommandError(InputError):
    """Something written on the command line that cannot be done."""

    @classmethod
    def unreadable(cls, path: str, reason: object) -> Self:
        return cls(
            f"{path} cannot be read: {_brief(reason)}. Give a CSV file in UTF-8 with a header row, "
            "or a Parquet file."
        )

    @classmethod
    def unreadable_text(cls, path: str, reason: object) -> Self:
        return cls(f"{path} cannot be read: {_brief(reason)}. Give a text file in UTF-8.")

    @classmethod
    def unreadable_json(cls, path: str, reason: object) -> Self:
        return cls(
            f"{path} cannot be read as JSON: {_brief(reason)}. A file that ends in .json holds a "
            "JSON schema or a list of labels after --output, and a list of chat messages after "
            "--prompt-file."
        )

    @classmethod
    def unwritable(cls, path: str, reason: object) -> Self:
        return cls(
            f"{path} cannot be written: {_brief(reason)}. What came back is safe in the job's "
            "folder; write it elsewhere: batchframe fetch JOB --to OTHER.csv"
        )

    @classmethod
    def unknown_ending(cls, path: str, known: Sequence[str]) -> Self:
        return cls(
            f"{path} is not named as a kind of file that is known here. Name it with one of "
            f"{_listed(known)}, or pass - for a CSV on the standard stream."
        )

    @classmethod
    def no_such_folder(cls, path: str) -> Self:
        return cls(f"{path} lies in a folder that is not there. Make it first, with mkdir -p.")

    @classmethod
    def same_file(cls, path: str) -> Self:
        return cls(f"{path} is the input, which is never replaced. Choose another file for --to.")

    @classmethod
    def to_needs_wait(cls) -> Self:
        return cls(
            "--to writes the answers, for which the job must be done: add --wait, or leave --to "
            "out and write them later: batchframe fetch JOB --input INPUT --to OUTPUT"
        )

    @classmethod
    def two_on_stdout(cls) -> Self:
        return cls("--json and --to - would both write to the standard output. Choose --to FILE.")

    @classmethod
    def not_a_pair(cls, option: str, given: str, example: str) -> Self:
        return cls(f"{option} {_short(given)} is not of the form KEY=VALUE, such as {example}.")

    @classmethod
    def not_a_value(cls, name: str, given: str) -> Self:
        return cls(
            f"--param {name}: {_short(given)} is neither JSON nor one plain word. Write numbers, "
            "true, false and null as JSON has them, and any other text in two pairs of quotes: "
            f"--param {name}='\"a text\"'."
        )

    @classmethod
    def named_twice(cls, option: str, name: str) -> Self:
        return cls(f"{option} gives {name!r} twice. Keep one of them.")

    @classmethod
    def has_an_option(cls, name: str) -> Self:
        return cls(f"--param {name}=... cannot be: see batchframe submit --help for its option.")

    @classmethod
    def one_label(cls, given: str) -> Self:
        return cls(
            f"--output {_short(given)} offers one label, so there is nothing to choose. Name all "
            "of them, --output positive,negative,mixed, or a JSON schema in a file whose name ends "
            "in .json; for a text answer, leave --output out."
        )

    @classmethod
    def several_need_input(cls) -> Self:
        return cls(
            "Several jobs are joined row by row, for which the frame is needed: --input FILE."
        )

    @classmethod
    def still_running(cls, job: str) -> Self:
        return cls(
            f"Job {job} is not done, so nothing was written. Wait for it, or write what is here, "
            "the other rows as pending: --partial."
        )

    @classmethod
    def not_agreed(cls) -> Self:
        return cls("Nobody said yes, so nothing was done. Where nobody can be asked, add --yes.")

    @classmethod
    def of_the_system(cls, reason: object) -> Self:
        return cls(
            f"The operating system refused: {_brief(reason)}. What is wrong with this machine's "
            "set-up is told by: batchframe doctor"
        )


class CostError(InputError):
    """A cost that is too high, or that nobody can state."""

    @classmethod
    def not_an_amount(cls, amount: object) -> Self:
        return cls(f"max_cost={amount!r} is no amount of USD. Write it as max_cost=2.50.")

    @classmethod
    def no_price(cls, model: str, limit: Decimal, tier: str = "batch") -> Self:
        rates = '{"input": "0.10", "output": "0.60"}'
        call = (
            f"submit(max_cost=..., prices={rates})"
            if tier == "batch"
            else f'pilot(max_cost=..., prices={{"{tier}": {rates}}})'
        )
        return cls(
            f"No {tier} price is known for {model}, so nobody can say whether it stays below "
            f"${limit:f}. Give the price in USD per million tokens: {call}, or leave out max_cost."
        )

    @classmethod
    def by_the_second(cls, model: str, limit: Decimal) -> Self:
        return cls(
            f"{model} is billed by the second of video and not by tokens, and what a second costs "
            f"is not known here, so nobody can say whether it stays below ${limit:f}. Nothing was "
            "sent. Multiply the seconds yourself, and leave out max_cost."
        )

    @classmethod
    def no_high_end(
        cls,
        limit: Decimal,
        low: Decimal,
        expected: Decimal | None,
        bound: str,
        tier: str = "batch",
    ) -> Self:
        middle = "" if expected is None else f", ${expected:f} expected"
        # A pilot is bounded by n; a limit would refuse it for the very reason it is advised.
        others = (
            "learn their length from a few, requests.pilot(n=20) without max_cost, and submit "
            "again; or leave out max_cost"
            if tier == "batch"
            else "or leave out max_cost: n alone then bounds the pilot, requests.pilot(n=20)"
        )
        if not bound:
            return cls(
                f"The cost is at least ${low:f}{middle}, but nobody publishes what an answer of "
                f"this model takes, so nobody can say whether it stays below ${limit:f}. Nothing "
                "was sent. Leave out max_cost, for a few rows at first, df.head(5): job.cost says "
                "what they took."
            )
        return cls(
            f"The cost is at least ${low:f}{middle}, but nothing bounds the length of the answers, "
            f"so nobody can say whether it stays below ${limit:f}. Nothing was sent. Bound them: "
            f"requests(..., {bound}=200), or output= with labels; {others}."
        )

    @classmethod
    def no_end_of_input(cls, limit: Decimal, low: Decimal, expected: Decimal | None) -> Self:
        middle = "" if expected is None else f", ${expected:f} expected"
        return cls(
            f"The cost is at least ${low:f}{middle}, but nothing bounds what the requests read "
            "(what a tool of the service finds, a file, audio, an earlier response), so nobody can "
            f"say whether it stays below ${limit:f}. Nothing was sent. estimate().notes say "
            "what it is: ask without it, or leave out max_cost."
        )

    @classmethod
    def above(
        cls,
        limit: Decimal,
        low: Decimal,
        expected: Decimal | None,
        high: Decimal,
        *,
        rows: int,
        fitting: int,
        bound: str,
        tier: str = "batch",
        tried: bool = False,
    ) -> Self:
        middle = "" if expected is None else f", ${expected:f} expected"
        ends = "" if low == high else f" (at least ${low:f}{middle})"
        head = f"; the first {fitting:,} of {rows:,} fit: df.head({fitting})" if fitting else ""
        ways = [f"ask fewer rows{head}"] if tier == "batch" else ["ask fewer: pilot(n=...)"]
        if low != high and bound:
            ways.insert(0, f"bound the answers more closely, requests(..., {bound}=...)")
            # Whoever knows what answers take already is not helped by asking again.
            if tier == "batch" and not tried:
                ways.append("see what answers take, requests.pilot(n=20)")
        ways += [
            'ask another model: requests.compare(["gpt-5.6-luna", "gpt-6-luna"]) shows their costs',
            "raise max_cost",
        ]
        listed = "".join(f"\n  - {way}" for way in ways)
        return cls(
            f"The cost may be as high as ${high:f}{ends}, and max_cost is ${limit:f}. Nothing was "
            f"sent. Ways out:{listed}"
        )

    @classmethod
    def no_rates(cls, given: object) -> Self:
        return cls(f"prices= has {given!r} where a dict of rates must stand. {_PRICES_SHAPE}")

    @classmethod
    def unknown_rate(cls, name: object, known: Sequence[str]) -> Self:
        return cls(
            f"prices= has a rate {name!r}, which is not one of {_listed(known)}. {_PRICES_SHAPE}"
        )

    @classmethod
    def not_by_model(cls, key: str, model: str) -> Self:
        return cls(
            f"compare() takes prices by model, and prices= has {key!r} where a model's name must "
            f'stand. Write it as prices={{"{model}": {{"input": "0.10", "output": "0.60"}}}}.'
        )

    @classmethod
    def of_no_model(cls, key: object, near: Sequence[str], names: Sequence[str]) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"prices= has {key!r}, which is not one of the models that are compared. {guess}"
            f"Models: {_listed(names)}."
        )

    @classmethod
    def no_input_rate(cls) -> Self:
        return cls(f'prices= has no rate "input". {_PRICES_SHAPE}')

    @classmethod
    def not_a_rate(cls, name: str, value: object) -> Self:
        return cls(
            f"prices= has {value!r} for {name!r}, which is not an amount of money. {_PRICES_SHAPE}"
        )

    @classmethod
    def unknown_tier(cls, tier: str, known: Sequence[str]) -> Self:
        return cls(f"There is no price tier {tier!r}. The tiers are {_listed(known)}.")

    @classmethod
    def unpriced_output(cls, model: str, tier: str) -> Self:
        return cls(
            f"The output of {model} has no known price in the {tier} tier, so its cost cannot be "
            'stated. Give it: prices={"input": "0.10", "output": "0.60"}, in USD per 1,000,000 '
            "tokens."
        )


class WebhookError(BatchframeError):
    """What came to a web server is not what the service posts: answer it with HTTP 400."""

    @classmethod
    def not_signed(cls, reason: str) -> Self:
        return cls(
            f"This request is not signed with your secret ({reason}). Whoever sent it, nothing was "
            "done. If it is the service's: pass the body as it came, await request.body(), and "
            "the secret of this endpoint; and see that this machine's clock is right, since an "
            "event counts for five minutes."
        )

    @classmethod
    def no_secret(cls) -> Self:
        return cls(
            "There is no secret to tell the service's requests by. Pass the endpoint's, which the "
            "service showed when the endpoint was made: on_webhook(body, headers, "
            'secret="whsec_..."), or set OPENAI_WEBHOOK_SECRET.'
        )

    @classmethod
    def not_a_secret(cls) -> Self:
        return cls(
            "The webhook secret (it is not shown) is none that keeps others out: it is empty, "
            "short, cut off, or has a blank or line break around it. Copy it again from the "
            "service's settings; it begins with whsec_."
        )

    @classmethod
    def not_raw(cls, kind: str) -> Self:
        return cls(
            f"The body is of type {kind}. A signature is of the bytes as they came: pass those, "
            "on_webhook(await request.body(), request.headers), not what was read from them."
        )

    @classmethod
    def no_headers(cls, kind: str) -> Self:
        return cls(
            f"The headers are of type {kind}. Pass the request's own: on_webhook(await "
            "request.body(), request.headers)."
        )

    @classmethod
    def no_batch(cls, kind: str) -> Self:
        return cls(
            f"A signed event {_brief(repr(kind), 60)} names no batch, so nothing was done. Look "
            "at the job itself with refresh()."
        )


class ClientError(BatchframeError):
    """There is no client, or it is not one that this job can use."""

    @classmethod
    def no_key(cls) -> Self:
        return cls(
            "There is no API key. Set OPENAI_API_KEY in the environment, or pass a client: "
            "submit(client=openai.OpenAI(...)). To rehearse without a key and without cost:\n"
            "    import batchframe.local\n"
            "    server = batchframe.local.serve()\n"
            "    requests.submit(client=server.client())"
        )

    @classmethod
    def wrong_kind(cls, client: object) -> Self:
        kind = type(client).__name__
        asynchronous = " with the same arguments" if kind.startswith("Async") else ""
        return cls(
            f"The client is of type {kind}. Pass a synchronous openai.OpenAI or "
            f"openai.AzureOpenAI{asynchronous}: submit(client=openai.OpenAI(...))."
        )

    @classmethod
    def insecure(cls, base_url: str) -> Self:
        return cls(
            f"The client's base URL is {base_url}: plain HTTP to another machine would show your "
            f"key to the network. Use {_https(base_url)}. Where the network is yours alone, set "
            "BATCHFRAME_ALLOW_INSECURE=1 to go on regardless."
        )

    @classmethod
    def other_identity(cls, job: str, recorded: str, given: str) -> Self:
        return cls(
            f"Job {job} belongs to {recorded}, but the client speaks to {given}. Its batches "
            f"cannot be seen from there. Pass the client it was submitted with: "
            f"bf.job({job!r}, client=...)."
        )

    @classmethod
    def none_for_the_job(cls, job: str, base_url: str) -> Self:
        return cls(
            f"Job {job} is at {base_url}, and none of the clients speaks to its account. Pass the "
            "one that it was submitted with: on_webhook(..., client=[one, another])."
        )

    @classmethod
    def job_needs_client(cls, job: str, base_url: str) -> Self:
        return cls(
            f"Job {job} is at {base_url}, and no client was given. Pass the one it was submitted "
            f"with: bf.job({job!r}, client=...), or set OPENAI_API_KEY (and "
            "OPENAI_BASE_URL, for another server than OpenAI's)."
        )


class SubmissionError(BatchframeError):
    """The service refused a part of the job, or was out of reach: it made no batch of it."""

    @classmethod
    def unsent(cls, job: str, reason: str) -> Self:
        return cls(
            f"Nothing of this part of job {job} reached the service: {reason}. Nothing is billed "
            f"for it. When the connection is back, run the cell again or call "
            f"bf.job({job!r}).resume()."
        )

    @classmethod
    def refused(
        cls,
        job: str,
        part: int,
        parts: int,
        status: int,
        code: str | None,
        message: str,
        advice: str,
    ) -> Self:
        return cls(
            f"The service refused part {part} of {parts} of job {job} "
            f"(HTTP {status}{f', {code}' if code else ''}): {message}\n"
            f"{advice}{advice and chr(10)}"
            "No batch was created for it and nothing is billed for it. When the cause is mended, "
            f"run the cell again or call bf.job({job!r}).resume(): what was created goes on, and "
            "only the rest is sent."
        )

    @classmethod
    def asked_meanwhile(cls, job: str, jobs: Mapping[str, int]) -> Self:
        told = ", ".join(f"{number:,} in job {other!r}" for other, number in jobs.items())
        return cls(
            f"Requests that job {job!r} has not sent yet were asked since by others ({told}), and "
            f"would be paid twice. Send only the rest: bf.job({job!r}).cancel(), which drops what "
            f"was not sent, and bf.job({job!r}).unanswered().submit(). Or pay twice: "
            f"bf.job({job!r}).resume(recreate=True)."
        )


class SentElsewhere(SubmissionError):
    """The job was sent before, from a folder that is not here."""

    batches: frozenset[str] = frozenset()

    @classmethod
    def in_another_order(cls, job: str, batches: Sequence[str]) -> Self:
        told = cls(
            f"Job {job!r} was sent before, from a folder that is not here and with its rows in "
            f"another order ({_listed(batches)}), and not all of it can be brought back. "
            "Nothing was sent now. Bring back what there is, bf.recover(), and run the cell again. "
            "What is still not answered then is sent, and paid again, by "
            f"bf.job({job!r}).resume(recreate=True)."
        )
        told.batches = frozenset(batches)
        return told


class SubmissionUncertain(BatchframeError):
    """A batch may or may not have been created; batchframe does not spend on a guess."""

    @classmethod
    def not_found(
        cls, job: str, part: int, parts: int, reason: str | None, *, list_was_complete: bool
    ) -> Self:
        seen = (
            "The service does not list it (yet)"
            if list_was_complete
            else "The service's list of batches could not be read to its end"
        )
        return cls(
            f"Part {part} of {parts} of job {job} was sent, but its answer was lost"
            f"{f' ({reason})' if reason else ''}. {seen}, so nobody can know whether the batch "
            "exists, and batchframe does not pay on a guess. Look again in a few minutes:\n"
            f"    bf.job({job!r}).resume()\n"
            "If you are sure that it was not created (the service's web page shows no such batch), "
            f"send it again:\n    bf.job({job!r}).resume(recreate=True)"
        )

    @classmethod
    def being_validated(cls, job: str, part: int, parts: int, batch_id: str) -> Self:
        return cls(
            f"Part {part} of {parts} of job {job} became {batch_id} after all, about when its "
            "input file was deleted so that it could be sent again. The service is still "
            "validating it, and nobody can know yet whether it will run. Look again in a minute:\n"
            f"    bf.job({job!r}).resume()"
        )

    @classmethod
    def input_is_gone(cls, job: str, file_id: str) -> Self:
        return cls(
            f"The input file {file_id} of job {job} is not on the server, though nobody here "
            "deleted it. The client's key may belong to another project, from which neither the "
            "file nor a batch of it can be seen. Pass the client it was submitted with: "
            f"bf.job({job!r}, client=...).resume(recreate=True)."
        )


class ServiceError(BatchframeError):
    """The service could not be reached, or what it answered could not be used."""

    status: int | None = None
    """The HTTP status, where the service answered with one."""

    out_of_reach: bool = False
    """Whether no connection held, so that asking for something else is of no use now."""

    broke_off: bool = False
    """Whether an answer began and did not come to its end."""

    cause: str = ""
    """What happened, without what to do about it, where that is known apart."""

    @property
    def passing(self) -> bool:
        """Whether asking again later may help."""
        return self.status is None or self.status in {408, 409, 425, 429, *range(500, 600)}

    @classmethod
    def refused(
        cls, status: int, code: str | None, message: str, request_id: str | None, advice: str
    ) -> Self:
        where = f", request {request_id}" if request_id else ""
        told = f"{status}{f', {code}' if code else ''}{where}"
        hint = advice or _STATUS_HINTS.get(status, "")
        error = cls(
            f"The service refused (HTTP {told}): {message}{hint and chr(10)}{hint}\nWhat was sent "
            "goes on, and what is at home stays. When the cause is mended, run the cell again."
        )
        error.status = status
        error.cause = f"the service refused (HTTP {told}): {message}"
        return error

    @classmethod
    def not_moderated(cls, row: int, label: object, count: int, reason: str) -> Self:
        where = f"row {row} (index {label!r})"
        behind = " or a request behind it" if count > 1 else ""
        return cls(
            f"The moderation endpoint did not answer for {where}{behind}: {reason}. No row is held "
            "back on half an answer, and nothing of the batch was sent. Ask again, with a client "
            "of OpenAI, whose endpoint is free: requests.moderate(client=openai.OpenAI())."
        )

    @classmethod
    def unreachable(cls, reason: str) -> Self:
        error = cls(
            f"The service could not be reached: {reason}. Your job is safe in its folder; when the "
            "connection is back, run the cell again."
        )
        error.out_of_reach = True
        error.cause = f"the service could not be reached: {reason}"
        return error

    @classmethod
    def unusable(cls, *, got: str, what: str) -> Self:
        return cls(
            f"The service's answer was not {what} but {got}. A proxy or a login page may stand in "
            "between; check the client's base_url, then run the cell again."
        )

    @classmethod
    def upload_differs(cls, name: str, sent: int, stored: int) -> Self:
        return cls(
            f"The service stored {stored:,} bytes of {name}, but {sent:,} were sent. No batch was "
            "created. Run the cell again to upload it anew."
        )

    @classmethod
    def broken_off(cls, what: str, reason: str) -> Self:
        error = cls(
            f"The service's answer broke off while {what} was read: {reason}. Nothing was replaced "
            "and nothing is lost: call job.refresh() to ask again."
        )
        error.broke_off = True
        return error

    @classmethod
    def too_slow(cls, what: str, got: int, seconds: float) -> Self:
        return cls(
            f"The service sent only {got:,} bytes of {what} in {seconds:,.0f} seconds, so reading "
            "it was given up. Nothing was replaced and nothing is lost: call job.refresh() to ask "
            "again."
        )

    @classmethod
    def too_large(cls, what: str, most: int) -> Self:
        return cls(
            f"The service sent more than {most:,} bytes of {what}, which cannot be right, so "
            "reading it was given up. Nothing was replaced and nothing is lost: call "
            "job.refresh() to ask again."
        )

    @classmethod
    def no_time_left(cls, what: str) -> Self:
        error = cls(f"The time to wait was over before {what} was asked for.")
        error.out_of_reach = True
        return error

    @classmethod
    def cut_short(cls, file_id: str, got: int, whole: int) -> Self:
        return cls(
            f"The result file {file_id} arrived with {got:,} of {whole:,} bytes, three times. "
            "Nothing was replaced and nothing is lost: call job.refresh() to fetch it again."
        )

    @classmethod
    def lost_for_good(cls, file_id: str, path: str) -> Self:
        return cls(
            f"{path} is not what came back from the service: it was changed or removed since, and "
            f"the service has no result file {file_id} any more. Restore it from a copy of the "
            "job's folder."
        )

    @classmethod
    def web_page(cls, file_id: str) -> Self:
        return cls(
            f"A web page came in place of the result file {file_id}. A proxy or a login page may "
            "stand in between. Nothing was replaced and nothing is lost: open the page in a "
            "browser, or check the client's base_url, then call job.refresh()."
        )


class SeveralBatchesWarning(UserWarning):
    """One input was found in more than one batch; each of them is billed."""

    @classmethod
    def found(cls, job: str, part: int, batches: Sequence[str]) -> Self:
        return cls(
            f"Part {part} of job {job} exists {len(batches)} times on the server: "
            f"{_listed(batches)}. Each is billed. The oldest is used; to stop the others, call "
            "client.batches.cancel(id)."
        )


class ParameterWarning(UserWarning):
    """A parameter of the body that OpenAI does not know."""

    @classmethod
    def unknown(cls, name: str, model: str, endpoint: str, source: str) -> Self:
        return cls(
            f"{endpoint} knows no parameter {name} ({source}); it is sent to {model} as it is, and "
            "OpenAI may refuse every request for it. If it is meant, say so: "
            f'requests(..., allow=["{name}"]).'
        )


class ReasoningWarning(UserWarning):
    """A limit that reasoning tokens may pass."""

    @classmethod
    def beyond_max_cost(cls, model: str, limit: Decimal, bound: str, thoughtless: str) -> Self:
        return cls(
            f"max_cost=${limit:f} holds for the answers, but {model} may reason before it answers, "
            "and reasoning tokens are billed as output: nobody can know how many. Switch them off, "
            f"requests(..., {thoughtless}), or bound them, requests(..., {bound}=...)."
        )


class IntervalWarning(UserWarning):
    """A limit that was held against what is likely, where nothing is certain."""

    @classmethod
    def held_against_an_interval(cls, limit: Decimal, bound: str) -> Self:
        certain = f" To be certain, bound them: requests(..., {bound}=...)." if bound else ""
        return cls(
            f"max_cost=${limit:f} was held against what answers took before, which is likely and "
            f"no bound: longer answers may cost more.{certain}"
        )


class OpenFolderWarning(UserWarning):
    """A folder of batchframe's that other users of the machine could use."""

    @classmethod
    def closed(cls, path: str, mode: int) -> Self:
        return cls(
            f"{path} was open to other users of this machine (mode {mode:04o}); it is yours alone "
            "now (0700). They may have read or changed what is in it: if you do not trust them, "
            "do not trust that job."
        )


class UnreadableJobWarning(UserWarning):
    """A job's folder that was left out of a list."""

    @classmethod
    def skipped(cls, why: str) -> Self:
        return cls(f"One job is left out: {why}")


class UnrecoveredBatchWarning(UserWarning):
    """A batch on the server whose job could not be rebuilt here."""

    @classmethod
    def left_out(cls, batch: str, job: str, reason: str) -> Self:
        return cls(
            f"Batch {batch} of job {job} was left out: {_reason(reason)} If you have the frame, "
            "run the cell that submitted it: the batch is then found by its content."
        )


class NamesakeWarning(UserWarning):
    """A new job has the name of another."""

    @classmethod
    def found(cls, name: str | None, job: str, differs: Sequence[str]) -> Self:
        return cls(
            f"There is a job named {name!r} already, and this is another one, paid for itself: it "
            f"differs in {', '.join(differs)}. bf.job({name!r}) now finds the new one; the other "
            f"is bf.job({job!r})."
        )

    @classmethod
    def renamed(cls, before: str | None, name: str | None) -> Self:
        return cls(
            f"These requests are job {before!r} already, so nothing new is sent. The job is now "
            f"called {name!r}: bf.job({name!r}) finds it, bf.job({before!r}) no more."
        )


class JobError(BatchframeError):
    """A job's folder is missing, damaged, of a newer version, or in use elsewhere."""

    @classmethod
    def not_an_id(cls, job_id: str) -> Self:
        return cls(
            f"{_short(job_id)} cannot be a job's id. bf.jobs() lists the jobs that are here."
        )

    @classmethod
    def not_found(cls, name: str, near: Sequence[str] = ()) -> Self:
        meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return cls(
            f"There is no job {name!r} here.{meant} bf.jobs() lists those that are; a job of "
            'another machine is found by its folder: bf.job("path/to/folder"). BATCHFRAME_HOME '
            "says where jobs are kept."
        )

    @classmethod
    def damaged(cls, path: str, why: str) -> Self:
        return cls(
            f"{path} is damaged: {why}. It is not used. Restore the job's folder from a copy; the "
            "batches on the server are not touched."
        )

    @classmethod
    def disk(cls, path: str, number: int | None, reason: str) -> Self:
        if number == errno.ELOOP:
            return cls.is_a_link(path)
        remedy = _DISK_REMEDIES.get(number or 0, "See to that disk.")
        return cls(
            f"{path} could not be read or written: {reason}. {remedy} Nothing is sent that is not "
            "noted on the disk before, and what was sent goes on at the service. Then run the cell "
            "again: it goes on from where it stopped."
        )

    @classmethod
    def is_a_link(cls, path: str) -> Self:
        return cls(
            f"{path} is a symbolic link, and batchframe follows none inside its home: whoever made "
            "it would choose what is read or written. Put the folder or file itself there, or set "
            "BATCHFRAME_HOME to where the jobs are."
        )

    @classmethod
    def no_home(cls, chosen: str) -> Self:
        return cls(
            f"BATCHFRAME_HOME is {chosen!r}, which leads to no folder. Set it to a path, such as "
            "~/batchframe, or unset it."
        )

    @classmethod
    def open_home(cls, path: str, mode: int) -> Self:
        return cls(
            f"Other users of this machine may write into {path} (mode {mode:04o}), so they could "
            f"put jobs of their own into it. Close it to them, chmod 700 {path}, or set "
            f"BATCHFRAME_HOME to a folder that is yours alone, such as {path}/batchframe. Where "
            "permissions cannot be set, as on some shares, and you trust everyone who reaches it, "
            "set BATCHFRAME_ALLOW_INSECURE=1."
        )

    @classmethod
    def of_another_user(cls, path: str, owner: int) -> Self:
        return cls(
            f"{path} belongs to another user (number {owner}), who could read and change all that "
            "is put into it. Set BATCHFRAME_HOME to a folder of your own, such as ~/batchframe."
        )

    @classmethod
    def other_version(cls, path: str, version: object) -> Self:
        return cls(
            f"The job in {path} was written in format {version!r}, which this version of "
            "batchframe does not read. Upgrade: pip install --upgrade batchframe."
        )

    @classmethod
    def newer_journal(cls, path: str) -> Self:
        return cls(
            f"The journal in {path} holds events of a newer version of batchframe, so this one "
            "sends nothing for it. Upgrade: pip install --upgrade batchframe."
        )

    @classmethod
    def busy(cls, job: str) -> Self:
        return cls(
            f"Another kernel is working on job {job} at this moment. Run the cell again in a "
            "moment: it will find the job."
        )

    @classmethod
    def lost_result(cls, path: str) -> Self:
        return cls(
            f"{path} is not what came back from the service: it was changed or removed since. Call "
            "job.refresh(): it is fetched again, as long as the service keeps it (30 days)."
        )

    @classmethod
    def recovered(cls, job: str) -> Self:
        return cls(
            f"Job {job!r} was recovered from the server, which knows neither the frame nor the "
            "template of the prompt, so rows cannot be matched to it. Run the cell that submitted "
            "it: it finds this job and pays nothing. What is known without: "
            f"bf.job({job!r}).results(), one row a request."
        )

    @classmethod
    def under_way(cls, job: str) -> Self:
        return cls(
            f"Job {job!r} is still under way, and what it answers is billed. Let it end, "
            f"bf.job({job!r}).wait(), or stop it, bf.job({job!r}).cancel() and wait, and then "
            "forget it."
        )

    @classmethod
    def cancel_uncertain(cls, job: str) -> Self:
        return cls(
            f"What is known of job {job} is being cancelled, but another part of it may exist on "
            f"the server. Look for it with bf.job({job!r}).resume(), then cancel again."
        )

    @classmethod
    def not_sent(cls, job: str) -> Self:
        return cls(
            f"Job {job} was not sent, or not all of it, so there is nothing to wait for. Go on "
            f"with it: bf.job({job!r}).resume()."
        )


class ExtraError(BatchframeError, ImportError):
    """Something needs an optional package that is not installed."""

    @classmethod
    def no_pillow(cls) -> Self:
        return cls(
            "Scaling images down needs Pillow, which is not installed. Install it with: "
            'pip install "batchframe[images]". Or leave image_max_size= out.'
        )

    @classmethod
    def no_matplotlib(cls) -> Self:
        return cls(
            "Drawing needs matplotlib, which is not installed. Install it with: "
            'pip install "batchframe[plot]". The same figures without it: bf.plot.tables.'
        )

    @classmethod
    def no_ipywidgets(cls) -> Self:
        return cls(
            "Buttons need ipywidgets, which is not installed. Install it with: "
            'pip install "batchframe[widgets]". Without buttons: job.watch(), job.refresh(), '
            "job.cancel()."
        )


class LocalServerError(BatchframeError):
    """The local batch server cannot start, or is asked for something it cannot do."""


class JobTimeout(JobError, TimeoutError):
    """The time to wait is over; the job goes on."""

    @classmethod
    def waited(cls, job: str, seconds: float, status: str, trouble: str | None) -> Self:
        last = f"It goes on at the service; its status was {status!r} at the last look."
        if trouble:
            last = f"The last look at it failed: {trouble}"
        return cls(
            f"Job {job} was not done after {seconds:,.0f} seconds. {last} "
            f"Come back to it: bf.job({job!r}).wait()."
        )
