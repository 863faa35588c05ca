"""What batchframe exports, and nothing else."""

from __future__ import annotations

import types

import batchframe
import batchframe.local
import batchframe.plot


def test_all_is_sorted_and_complete() -> None:
    for module in (batchframe, batchframe.local, batchframe.plot, batchframe.plot.tables):
        assert list(module.__all__) == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)


def test_nothing_public_is_left_out_of_all() -> None:
    public = {
        name
        for name, value in vars(batchframe).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public <= set(batchframe.__all__)


def test_the_public_names_are_these() -> None:
    assert set(batchframe.__all__) == {
        "Agreement",
        "Estimate",
        "Evaluation",
        "Job",
        "Pilot",
        "Provider",
        "Report",
        "Requests",
        "TokenCount",
        "__version__",
        "agreement",
        "count_tokens",
        "errors",
        "escape_formulas",
        "evaluate",
        "job",
        "jobs",
        "join",
        "on_webhook",
        "plot",
        "provider",
        "recover",
        "requests",
    }


def test_every_public_thing_is_documented() -> None:
    for name in batchframe.__all__:
        thing = getattr(batchframe, name)
        if not isinstance(thing, str):
            assert thing.__doc__, name
    for handle in (
        batchframe.Requests,
        batchframe.Job,
        batchframe.Estimate,
        batchframe.Evaluation,
        batchframe.Agreement,
        batchframe.Report,
    ):
        for name, member in vars(handle).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert member.__doc__, f"{handle.__name__}.{name}"
