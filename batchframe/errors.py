"""The exceptions and warnings that batchframe raises.

BatchframeError
├── InputError (ValueError)          invalid input; nothing is written or sent
│   ├── TemplateError                the prompt template
│   ├── ColumnError                  a missing, ambiguous or existing column
│   ├── CellError                    the value of a cell
│   ├── OutputSpecError              the schema of `output=`
│   ├── RequestError                 the request body or its size
│   ├── FileIsThereError (FileExistsError)
│   ├── CommandError                 an argument of the command line
│   └── CostError                    `max_cost` and prices
├── WebhookError                     a webhook request without a valid signature
├── ClientError                      a missing client, or one of a wrong type or account
├── SubmissionError                  the service rejected the job
│   └── SentElsewhere                the job was sent before, by another client or folder
├── SubmissionUncertain              it is unknown whether the batch was created
├── ServiceError                     the service is unreachable, or its response invalid
├── JobError                         a job's folder: not found, damaged, newer, or in use
│   └── JobTimeout (TimeoutError)    the job is not done in time; it continues
├── LocalServerError                 the local batch server cannot start
└── ExtraError (ImportError)         an optional package is not installed

UserWarning
├── TemplateWarning                  a likely mistake in a template
├── ParameterWarning                 a body parameter unknown to OpenAI
├── ReasoningWarning                 a cost limit that reasoning tokens may exceed
├── IntervalWarning                  a cost limit compared with an interval, not a bound
├── UnrecoveredBatchWarning          a batch on the server that could not be recovered
├── NamesakeWarning                  a new job with the name of another
├── JoinWarning                      a join that finds few of the rows
├── SeveralBatchesWarning            an input file with several batches, each billed
├── UnverifiedBatchWarning           a new batch whose input file the service does not name
├── OpenFolderWarning                a batchframe folder that other users can access
└── UnreadableJobWarning             a job folder omitted from a list
"""

from __future__ import annotations

from batchframe._base.errors import *  # noqa: F403 - the names of its `__all__`
from batchframe._base.errors import __all__

for _name in __all__:
    globals()[_name].__module__ = __name__
