"""The public names of batchframe."""

from __future__ import annotations

import pickle
import pydoc
import types

import pandas as pd

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


def test_the_public_names_are_unchanged() -> None:
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
        "use",
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


def test_help_of_a_class_lists_all_methods() -> None:
    for handle in (batchframe.Job, batchframe.Requests):
        page = pydoc.plain(pydoc.render_doc(handle))
        for name, member in vars(handle).items():
            if isinstance(member, types.FunctionType) and not name.startswith("_"):
                assert f" |  {name}(self" in page, name


def test_a_job_and_its_methods_are_pickled_as_the_folder_alone(
    server: batchframe.local.Server,
) -> None:
    frame = pd.DataFrame({"text": ["a"]})
    job = frame.bf.requests("{{ text }}", model="gpt-4.1").submit("one", client=server.client())
    assert pickle.loads(pickle.dumps(job)).folder == job.folder  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(job.wait)).__self__.folder == job.folder  # noqa: S301
