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

__all__ = [  # noqa: RUF022 - in the order of the tree
    "BatchframeError",
    "InputError",
    "TemplateError",
    "SourceError",
    "ColumnError",
    "CellError",
    "TemplateWarning",
    "OutputSpecError",
    "RequestError",
    "FileIsThereError",
    "CommandError",
    "CostError",
    "WebhookError",
    "ClientError",
    "SubmissionError",
    "SentElsewhere",
    "SubmissionUncertain",
    "ServiceError",
    "SeveralBatchesWarning",
    "ParameterWarning",
    "ReasoningWarning",
    "IntervalWarning",
    "OpenFolderWarning",
    "UnreadableJobWarning",
    "UnrecoveredBatchWarning",
    "NamesakeWarning",
    "JobError",
    "ExtraError",
    "LocalServerError",
    "JobTimeout",
]

for _name in __all__:
    globals()[_name].__module__ = __name__
