"""Text that is safe to display, and next steps for notebook and shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final, Self

# Joiners and other zero-width marks stay: they shape letters and emoji.
_HIDDEN: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the reading direction
    "\U000e0000-\U000e007f"  # tags, which can spell invisible words
    "\ud800-\udfff"  # lone surrogates
    "]"
)
# The format of OpenAI's keys, complete or masked ("sk-pr***1234", "sk-...1234", "sk-ab…cd"). The
# end of a word does not match: "disk-image" is not a key.
_KEY: Final = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_*.…•-]{3,}[A-Za-z0-9_*•-]")
_SHORTEST: Final = 8
_ESCAPED: Final = 6
"""Characters of an escape in JSON."""


def visible(text: str) -> str:
    r"""Escape control characters and those that change reading direction.

    Examples
    --------
    >>> visible("a\x07b\u202ec")
    'a\\x07b\\u202ec'
    """
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    r"""Escape each line as :func:`visible` does, keeping line breaks.

    Examples
    --------
    >>> visible_lines("a\x07\nb")
    'a\\x07\nb'
    """
    return "\n".join(map(visible, text.split("\n")))


def redacted(text: str, keys: Iterable[str] = ()) -> str:
    """Redact `keys` and anything that looks like an OpenAI key.

    Parameters
    ----------
    keys
        Known keys, in any format. Strings of fewer than 8 characters are ignored: local servers
        accept any key, and "local" occurs in many sentences.

    Examples
    --------
    >>> redacted("Incorrect API key provided: sk-pr***1234. See your disk-image.")
    'Incorrect API key provided: sk-…. See your disk-image.'
    >>> redacted("Token 0a1b2c3d4e was refused", ["0a1b2c3d4e"])
    'Token … was refused'
    """
    for key in keys:
        if len(key) >= _SHORTEST:
            text = text.replace(key, "…")
    return _KEY.sub("sk-…", text)


def mask(content: bytes, keys: Sequence[str]) -> bytes:
    r"""Overwrite keys, also those written with JSON's escapes; keep the size.

    Examples
    --------
    >>> mask(rb'{"code": "sk-abc123", "param": "\u0073k-abc123"}', ["sk-abc123"])
    b'{"code": "sk-******", "param": "**************"}'
    """
    for key in keys:
        if key.encode() in content or b"\\u00" in content or b"\\/" in content:
            content = _pattern(key).sub(_cover, content)
    return content


def masked_chunks(chunks: Iterable[bytes], keys: Sequence[str]) -> Iterator[bytes]:
    """Mask keys in a body that arrives in chunks, across their borders.

    Examples
    --------
    >>> b"".join(masked_chunks([b"code: sk-ab", b"c123."], ["sk-abc123"]))
    b'code: sk-******.'
    """
    # The longest form that is not complete yet.
    most = max((len(key) for key in keys), default=0) * _ESCAPED - 1
    tail = b""
    for chunk in chunks:
        content = mask(tail + chunk, keys)
        end = max(len(content) - most, 0) if keys else len(content)
        if end:
            yield content[:end]
        tail = content[end:]
    if tail:
        yield tail


@cache
def _pattern(key: str) -> re.Pattern[bytes]:
    """Return a pattern of the forms of a key in JSON."""
    forms = [rf"(?:\\?{re.escape(char)}|\\u00(?i:{ord(char):02x}))" for char in key]
    return re.compile("".join(forms).encode())


def _cover(found: re.Match[bytes]) -> bytes:
    prefix = b"sk-" if found[0].startswith(b"sk-") else b""
    return prefix.ljust(len(found[0]), b"*")


class NextStep(str):
    """A next step, as Python code for a notebook and as a shell command.

    Concatenation with other strings preserves both; an f-string preserves only the notebook's.

    Attributes
    ----------
    shell
        The wording for a shell.

    Examples
    --------
    >>> step = "Go on with it: " + job_step("my job", "resume") + "."
    >>> print(step)
    Go on with it: bf.job('my job').resume().
    >>> print(step.shell)
    Go on with it: `batchframe resume 'my job'`.
    """

    __slots__ = ("shell",)
    shell: str

    def __new__(cls, text: str, shell: str | None = None) -> Self:
        step = super().__new__(cls, text)
        step.shell = in_shell(text) if shell is None else shell
        return step

    def __add__(self, other: str) -> NextStep:
        return NextStep(str.__add__(self, other), self.shell + in_shell(other))

    def __radd__(self, other: str) -> NextStep:
        return NextStep(other) + self


def in_shell(message: object) -> str:
    """Return a string or an exception's message, worded for a shell.

    Examples
    --------
    >>> in_shell(option_step("on_missing", '"skip"') + " leaves them out.")
    '--on-missing skip leaves them out.'
    """
    text = message.args[0] if isinstance(message, Exception) and message.args else message
    return text.shell if isinstance(text, NextStep) else str(message)


def job_step(name: str, verb: str = "", flag: str = "", *, alone: bool = False) -> NextStep:
    """Format a call of a job's method, or the equivalent command.

    Parameters
    ----------
    flag
        A keyword that is passed as True.
    alone
        Whether it stands on its own line, to be copied: then it is not quoted.

    Examples
    --------
    >>> job_step("tone", "results").shell
    '`batchframe fetch tone --to OUTPUT.csv`'
    """
    call = f".{verb}({flag}{flag and '=True'})" if verb else ""
    command = f"batchframe {_COMMANDS.get(verb, verb)} {shlex.quote(name)}"
    command += " --to OUTPUT.csv" if verb == "results" else flag and f" --{flag}"
    return NextStep(f"bf.job({name!r}){call}", command if alone else f"`{command}`")


def named_batch_step(job: str) -> NextStep:
    """Format the call that adopts a batch which the user names.

    Examples
    --------
    >>> named_batch_step("tone").shell
    'batchframe resume tone --batch batch_...'
    """
    shell = f"{job_step(job, 'resume', alone=True).shell} --batch batch_..."
    return NextStep(f'bf.job({job!r}).resume(batch="batch_...")', shell)


def requests_step(*keywords: str) -> NextStep:
    """Format keywords of ``requests()`` as code, or the equivalent options.

    Examples
    --------
    >>> step = requests_step("temperature=0", 'allow=["temperature"]')
    >>> print(step)
    requests(..., temperature=0, allow=["temperature"])
    >>> print(step.shell)
    --param temperature=0 --allow temperature
    """
    shell = " ".join(parameter_step(keyword).shell for keyword in keywords)
    return NextStep(f"requests(..., {', '.join(keywords)})", shell)


def parameter_step(keyword: str) -> NextStep:
    """Format one keyword as code, or the equivalent option.

    Examples
    --------
    >>> parameter_step("max_completion_tokens=").shell
    '--param max_completion_tokens=200'
    """
    name, _, code = keyword.partition("=")
    value = code.strip("[]\"'")
    if name in _OPTIONS:
        return NextStep(keyword, f"{_OPTIONS[name]} {value}")
    if value in {"", "..."}:
        value = "200" if name == "max_completion_tokens" else "VALUE"
    return NextStep(keyword, f"--param {shlex.quote(f'{name}={value}')}")


def option_step(keyword: str, code: str) -> NextStep:
    """Format a keyword and its value as code, or the option of that name."""
    word = code.strip("\"'")
    value = word if word.isidentifier() else code
    return NextStep(f"{keyword}={code}", f"--{keyword.replace('_', '-')} {value}")


_COMMANDS: Final = {"": "show", "refresh": "show", "results": "fetch"}
_OPTIONS: Final = {"name": "--column", "allow": "--allow"}

RUN_THAT: Final = NextStep("run the cell", "run the command")
RUN_AGAIN: Final = NextStep("run the cell again", "run the command again")
REFRESH: Final = NextStep("job.refresh()", "`batchframe show JOB`")
BASE_URL: Final = NextStep("the client's base_url", "OPENAI_BASE_URL")
MAX_COST: Final = NextStep("max_cost", "--max-cost")
OUTPUT: Final = NextStep("output=", "--output")
PRICES: Final = NextStep(
    'prices={"input": ..., "output": ...}', "--price input=USD --price output=USD"
)
SKIP: Final = option_step("on_missing", '"skip"')
LABELS: Final = NextStep('output=["positive", "negative"]', "--output positive,negative")
JOBS: Final = NextStep("bf.jobs()", "`batchframe jobs`")
ACCOUNT: Final = (
    "Set OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID as they were when it "
    "was submitted"
)
