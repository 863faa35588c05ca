"""Facts of new package versions that the tables lack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
CHAT_MODELS = """
ChatModel: TypeAlias = Literal["gpt-4.1", "gpt-6.2-sol", "gpt-9-nova", "o8"]
'''Deprecated values:

- "gpt-4.1": Announced
  shutdown date: 2027-06-01. See the page.
- "gpt-9-nova": Announced shutdown date: 2028-01-01.
- "gpt-4o-audio-preview": Announced shutdown date: 2028-01-01.
'''
"""
BODIES = {
    "chat/completion_create_params": ("CompletionCreateParams", ["messages", "model", "mood"]),
    "responses/response_create_params": ("ResponseCreateParams", []),
    "embedding_create_params": ("EmbeddingCreateParams", []),
    "image_generate_params": ("ImageGenerateParams", ["stream"]),
    "batch_create_params": ("BatchCreateParams", ["metadata", "priority"]),
    "file_create_params": ("FileCreateParams", ["file", "purpose", "expires_after"]),
}
PRICES = {
    "gpt-4.1": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2e-06,
        "output_cost_per_token": 8e-06,
        "input_cost_per_token_batches": 1.25e-06,
        "output_cost_per_token_batches": 0.0,
    },
}


def wheel(folder: Path, name: str, members: Mapping[str, str]) -> None:
    with zipfile.ZipFile(folder / f"{name}-9.8.7-py3-none-any.whl", "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    types = {
        f"openai/types/{module}.py": f"class {name}Base(TypedDict):\n    '''Body.'''\n"
        + "".join(f"    {key}: str\n" for key in keys)
        for module, (name, keys) in BODIES.items()
    }
    wheel(tmp_path, "openai", types | {"openai/types/shared/chat_model.py": CHAT_MODELS})
    table = "litellm/model_prices_and_context_window_backup.json"
    wheel(tmp_path, "litellm", {table: json.dumps(PRICES)})
    wheel(tmp_path, "genai_prices", {})
    return tmp_path


def facts(*options: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "tools.facts", *options]
    done = subprocess.run(
        command, cwd=TREE, capture_output=True, text=True, check=False, env=os.environ | (env or {})
    )
    return done.returncode, done.stdout + done.stderr


def test_missing_facts_are_printed_and_dated(wheels: Path) -> None:
    dates = wheels / "first_seen.toml"
    first = ("--wheels", str(wheels), "--dates", str(dates), "--on", "2026-11-30", "--record")
    code, text = facts(*first, "--fail")
    assert code == 0, text
    for line in (
        "since 2026-11-30  o8: a chat model of openai 9.8.7 that no rule covers",
        "since 2026-11-30  gpt-9-nova: a chat model of openai 9.8.7 without a batch price",
        "since 2026-11-30  gpt-4.1: ends on 2027-06-01 by openai 9.8.7, on 2027-01-14 in ours",
        "since 2026-11-30  gpt-9-nova: ends on 2028-01-01 by openai 9.8.7; not in rules.toml",
        "since 2026-11-30  /v1/chat/completions: openai 9.8.7 has mood, which rules.toml does not",
        "since 2026-11-30  /v1/chat/completions: rules.toml lists seed, which openai 9.8.7",
        "since 2026-11-30  batches.create: openai 9.8.7 has priority, which rules.toml does not",
        "since 2026-11-30  batches.create: rules.toml lists endpoint, which openai 9.8.7 does not",
        "since 2026-11-30  /v1/images/edits: openai 9.8.7 has no image_edit_params.py",
        "since 2026-11-30  gpt-4.1: litellm 9.8.7 has other rates than litellm.toml",
        "note: gpt-4.1, batch: input $1 in ours, $1.25 in litellm 9.8.7 per million tokens",
        "note: gpt-5, gpt-5-2025-08-07: ends on 2026-12-11",
    ):
        assert line in text, text
    for present in ("gpt-4o-audio-preview", "gpt-4.1, standard", "files.create", "0 of them for"):
        assert (present in text) == (present == "0 of them for"), text
    assert '"price gpt-9-nova" = 2026-11-30' in dates.read_text()


@pytest.mark.slow
def test_a_finding_older_than_two_weeks_fails_until_it_is_resolved(wheels: Path) -> None:
    dates = wheels / "first_seen.toml"
    dates.write_text('"price gpt-9-nova" = 2026-11-01\n"gone" = 2026-11-01\n')
    options = ("--wheels", str(wheels), "--dates", str(dates), "--fail")
    code, text = facts(*options, "--on", "2026-11-15")
    assert (code, "since 2026-11-01  gpt-9-nova" in text) == (0, True), text
    code, text = facts(*options, "--on", "2026-11-16", "--record")
    assert (code, "1 of them for more than 14 days" in text) == (1, True), text
    assert "gone" not in {line.split('"')[1] for line in dates.read_text().splitlines()[2:]}
    assert facts(*options[:-1], "--on", "2026-11-16")[0] == 0


def test_a_date_that_passed_since_the_last_check_is_to_be_checked(wheels: Path) -> None:
    options = ("--wheels", str(wheels), "--dates", str(wheels / "first_seen.toml"))
    _, text = facts(*options, "--on", "2026-12-11")
    assert "since 2026-12-11  gpt-5, gpt-5-2025-08-07: ended on 2026-12-11, last checked" in text
    assert "gpt-4.1-nano" not in text  # it ended before it was last checked


def test_without_wheels_nothing_is_checked_and_only_the_weekly_run_fails(wheels: Path) -> None:
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull,
    }  # fmt: skip
    code, text = facts(env=nowhere)
    assert (code, text.startswith("Not checked: no openai, litellm, genai-prices (")) == (0, True)
    assert facts("--fail", env=nowhere)[0] == 1
    next(wheels.glob("litellm*")).unlink()
    assert facts("--wheels", str(wheels))[1].startswith("Not checked: no litellm (no wheel in")


def test_the_rules_list_every_parameter_of_the_installed_openai() -> None:
    dates = (TREE / "tools" / "facts" / "first_seen.toml").read_text()
    assert "batches.create" not in dates
    assert "/v1/" not in dates
