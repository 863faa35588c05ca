"""The snapshot of the second price book, written from a wheel."""

import json
import tomllib
import zipfile
from datetime import date
from pathlib import Path

import pytest

import batchframe
from tools.prices import SNAPSHOT, snapshot

ENTRIES = {
    "gpt-x": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 2.225e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_272k_tokens_batches": 3e-06,
        "input_cost_per_token_batches": 1.5e-06,
        "cache_creation_input_token_cost_above_12hr_batches": 4e-06,
    },
    "draws": {
        "litellm_provider": "openai",
        "mode": "image_generation",
        "input_cost_per_token": 5e-06,
        "input_cost_per_image_token": 8e-06,
        "output_cost_per_token": 1e-05,
        "output_cost_per_image_token": 3.2e-05,
    },
    "embeds": {
        "litellm_provider": "openai",
        "mode": "embedding",
        "input_cost_per_token": 2e-08,
        "output_cost_per_token": 0.0,
    },
    "of-another-maker": {
        "litellm_provider": "groq",
        "mode": "chat",
        "input_cost_per_token": 1e-06,
    },
    "1024-x-1024/draws": {
        "litellm_provider": "openai",
        "mode": "image_generation",
        "input_cost_per_token": 1e-06,
    },
    "no-price": {"litellm_provider": "openai", "mode": "chat", "output_cost_per_token": 1e-06},
}


def test_a_snapshot_has_each_rate_that_litellm_states_to_the_last_digit(tmp_path: Path) -> None:
    wheel = tmp_path / "litellm-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("litellm/model_prices_and_context_window_backup.json", json.dumps(ENTRIES))
    written = tomllib.loads(snapshot(wheel, date(2026, 11, 30)))
    assert written["book"] == "litellm 9.8.7"
    assert written["as_of"] == date(2026, 11, 30)
    assert written["models"] == {
        "gpt-x": {
            "batch": {"input": "1.5", "cache_write_12h": "4"},
            "batch_long": {"input": "3"},
            "standard": {"input": "2.225", "output": "10"},
        },
        "draws": {"standard": {"input": "5", "output": "32", "image_input": "8"}},
        "embeds": {"standard": {"input": "0.02"}},
    }


def test_a_file_that_is_not_a_litellm_wheel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("litellm/model_prices_and_context_window_backup.json", "{}")
    with pytest.raises(SystemExit, match="not a wheel of litellm"):
        snapshot(other, date(2026, 11, 30))


def test_the_snapshot_in_the_package_has_only_rates_above_zero() -> None:
    packaged = Path(batchframe.__file__).parent / "_models" / SNAPSHOT.name
    models = tomllib.loads(packaged.read_text(encoding="utf-8"))["models"]
    rates = [rate for rows in models.values() for row in rows.values() for rate in row.values()]
    assert len(models) > 100
    assert all(float(rate) > 0 for rate in rates)
