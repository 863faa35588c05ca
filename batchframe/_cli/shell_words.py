"""Reword a message for a shell: Python calls become commands and options.

What no rule matches stays as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Final

_NAME: Final = (
    r"bf\.job\((?P<quote>['\"])(?P<job>(?:(?!(?P=quote)).)*)(?P=quote)(?:, client=\.\.\.)?\)"
)
_VERB: Final = (
    r"(?P<verb>wait|cancel|resume|forget|results|refresh|unanswered)"
    r"\((?:(?P<flag>recreate|remote)=True)?\)(?:\.submit\(\))?"
)
_BOUND: Final = r"(?P<key>max_completion_tokens|reasoning_effort)"
_ACCOUNT: Final = (
    "Set OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID as they were when it "
    "was submitted"
)
_SENDING: Final = "`batchframe wait JOB` or `batchframe show JOB`"
_PRICES: Final = "--price input=0.10 --price output=0.60"
_REHEARSE: Final = (
    " in the environment. To rehearse without a key and without cost, run `batchframe serve`, and "
    "set OPENAI_BASE_URL to its address and OPENAI_API_KEY to any word."
)


def _command(found: re.Match[str]) -> str:
    job = shlex.quote(found["job"])
    match found["verb"]:
        case "results":
            return f"`batchframe fetch {job} --to OUTPUT.csv`"
        case "refresh":
            return f"`batchframe show {job}`"
        case verb:
            flag = {"recreate": " --recreate", "remote": " --remote"}.get(found["flag"] or "", "")
            return f"`batchframe {verb} {job}{flag}`"


def _show(found: re.Match[str]) -> str:
    return f"`batchframe show {shlex.quote(found['job'])}`"


def _parameter(found: re.Match[str]) -> str:
    return _option(f"{found['key']}={found['value']}")


def _options(found: re.Match[str]) -> str:
    """Write the keywords of a call as options."""
    return " ".join(map(_option, re.split(r", (?=\w+=)", found["words"])))


def _option(keyword: str) -> str:
    name, _, value = keyword.partition("=")
    value = value.strip("[]\"'")
    if name in _OPTIONS:
        return f"{_OPTIONS[name]} {value}"
    return f"--param {name}={_EXAMPLES.get(name, 'VALUE') if value in {'...', ''} else value}"


_OPTIONS: Final = {"name": "--column", "allow": "--allow"}
_EXAMPLES: Final = {"max_completion_tokens": "200"}


def _labels(found: re.Match[str]) -> str:
    return "--output " + ",".join(re.findall(r'"([^"]*)"', found[0]))


# In this order: what is longer comes first.
_RULES: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    (r" in the environment, or pass a client:.*(?s:.*)client=server\.client\(\)\)", _REHEARSE),
    (rf"Pass the client it was submitted with: (?={_NAME}\.[a-z])", f"{_ACCOUNT}: "),
    (rf"Pass the (?:client|one) it was submitted with: {_NAME}", _ACCOUNT),
    (r", or set OPENAI_API_KEY", ""),
    (rf"{_NAME}\.{_VERB}", _command),
    (_NAME, _show),
    (r" learn their length from a few, requests\.pilot[^;]*;", ""),
    (r"\n +- see what answers take, requests\.pilot\(n=20\)", ""),
    (r"\bbf\.(?P<list>jobs|recover)\(\)", r"`batchframe \g<list>`"),
    (r"\bjob\.wait\(\), job\.watch\(\) or job\.refresh\(\) in any kernel", _SENDING),
    (r"\bjob\.refresh\(\)", "`batchframe show JOB`"),
    (r"\bjob\.forget\(remote=True\)", "`batchframe forget JOB --remote`"),
    (r"\bjob\.cancel\(\)", "`batchframe cancel JOB`"),
    (r"(?i)\b(?P<run>run the) cell\b", r"\g<run> command"),
    (r"\bAnother kernel\b", "Another process"),
    (r"\bsubmit\(reuse=False\)", "--no-reuse"),
    (r"the client's base_url", "OPENAI_BASE_URL"),
    (r" \(df\.sample\(frac=0\.1\)\)", ""),
    (r"\b(?:submit\(max_cost=\.\.\., |estimate\()?prices=\{\"input\".*?\}\)?", _PRICES),
    (r"(?:df\.bf\.)?requests\(\.\.\., (?P<words>[^()]*)\)(?:\.submit\(\.\.\.\))?", _options),
    (rf"(?<!-param )\b{_BOUND}=(?P<value>\"\w+\"|)", _parameter),
    (r"\bjoin\(job, prefix=\"(?P<prefix>\w+)\"\)", r"--prefix \g<prefix>"),
    (r"\bjoin\(job, overwrite=True\)", "--overwrite"),
    (r"\bon_missing=[\"'](?P<word>\w+)[\"']", r"--on-missing \g<word>"),
    (r"\bon_missing=(?=[\"'])", "--on-missing "),
    (r"\boutput=\[\"[^\]]*\]", _labels),
    (r"\bmax_cost=", "--max-cost "),
    (r"\bmax_cost\b", "--max-cost"),
    (r"\boutput=(?= )", "--output"),
)  # fmt: skip
_COMPILED: Final = tuple((re.compile(pattern), told) for pattern, told in _RULES)
_ALONE: Final = re.compile(r"(?m)^(\s+)`([^`]*)`$")


def in_shell(sentence: str) -> str:
    """Say a sentence to somebody at a shell.

    Examples
    --------
    >>> in_shell("It goes on at the service. Come back to it: bf.job('my job').wait().")
    "It goes on at the service. Come back to it: `batchframe wait 'my job'`."
    >>> in_shell('Choose: on_missing="skip" leaves them out.')
    'Choose: --on-missing skip leaves them out.'
    >>> in_shell('Switch them off, requests(..., reasoning_effort="none").')
    'Switch them off, --param reasoning_effort=none.'
    """
    for pattern, told in _COMPILED:
        sentence = pattern.sub(told, sentence)
    # A command on a line of its own is there to be copied.
    return _ALONE.sub(r"\1\2", sentence)
