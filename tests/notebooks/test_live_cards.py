"""Job cards in a real notebook, live and saved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import notebooks

# The kernel's channels emit unrelated warnings; only the notebook's cells are tested.
pytestmark = pytest.mark.filterwarnings("ignore")
Titles = Callable[[Any], list[str]]


def test_waiting_in_the_last_line_shows_one_card(notebook: Any, shown: Titles) -> None:
    cell = notebook.run('job = requests.submit("one", client=client)\njob.wait()')
    assert shown(cell) == ["Job one: completed"]
    assert cell.outputs[0].output_type == "display_data"
    assert "bf-card" in cell.outputs[0]["data"]["text/html"]
    assert shown(notebook.run("job")) == ["Job one: completed"]


@pytest.mark.slow
def test_another_job_in_the_last_line_is_shown(notebook: Any, shown: Titles) -> None:
    notebook.run('first = requests.submit("first", client=client)')
    cell = notebook.run('first.wait()\nrequests.submit("second", rerun="2", client=client)')
    assert [title.split(":")[0] for title in shown(cell)] == ["Job first", "Job second"]


@pytest.mark.slow
def test_an_outdated_card_does_not_replace_the_repr(notebook: Any, shown: Titles) -> None:
    notebook.run('server.pause()\njob = requests.submit("late", client=client)')
    cell = notebook.run(
        "try:\n    job.wait(timeout=0.1)\nexcept bf.errors.JobTimeout:\n    server.resume()\n"
        "while not job.done:\n    job.refresh()\njob"
    )
    assert shown(cell) == ["Job late: completed"]  # the card of the wait follows the job


@pytest.mark.slow
def test_watch_leaves_the_kernel_free_and_saves_the_final_card(
    notebook: Any, shown: Titles
) -> None:
    notebook.run('server.pause()\njob = requests.submit("watched", client=client)')
    watching = notebook.run("job.watch()")
    meanwhile = notebook.run("print(6 * 7, job.done)\nserver.resume()")
    assert meanwhile.outputs[0]["text"] == "42 False\n"
    notebook.run("end_of_watch()")
    saved = notebooks.as_saved(notebook.nb)
    assert shown(saved.cells[2]) == ["Job watched: completed"]
    assert shown(watching) == ["Job watched: completed"]
    assert "<script" not in saved.cells[2].outputs[0]["data"]["text/html"]
    assert notebook.run("print(len(job.results()))").outputs[0]["text"] == "20\n"


@pytest.mark.slow
def test_an_error_of_a_watch_is_shown_on_its_card(notebook: Any, shown: Titles) -> None:
    notebook.run(
        'server.pause()\njob = requests.submit("troubled", client=client)\n'
        "def refuse(*args):\n    raise RuntimeError('the disk is full')\njob._poll = refuse"
    )
    watching = notebook.run("job.watch()")
    notebook.run("end_of_watch()")
    assert len(shown(watching)) == 1
    assert "the disk is full" in watching.outputs[0]["data"]["text/plain"]
    assert "the disk is full" in watching.outputs[0]["data"]["text/html"]


@pytest.mark.slow
def test_every_card_of_a_watched_job_shows_its_state(notebook: Any, shown: Titles) -> None:
    notebook.run('server.pause()\njob = requests.submit("again", client=client)')
    cells = [
        notebook.run("job.watch()"),
        notebook.run('bf.job("again", client=client).watch()'),
        notebook.run('other = bf.job("again", client=client).watch()'),
    ]
    notebook.run("server.resume()\nend_of_watch()")
    done = [["Job again: completed"]] * 3
    for _ in range(20):  # output of a thread may arrive after the cell that waited for it
        if [shown(cell) for cell in cells] == done:
            break
        notebook.run("import time\ntime.sleep(0.2)")
    assert [shown(cell) for cell in cells] == done


@pytest.mark.slow
def test_a_job_can_be_awaited_while_the_loop_is_free(notebook: Any, shown: Titles) -> None:
    notebook.run(
        'server.pause()\njob = requests.submit("awaited", client=client)\n'
        "import asyncio\nturns = 0\n"
        "async def count():\n    global turns\n    while not job.done:\n        turns += 1\n"
        "        if turns == 3:\n            server.resume()\n        await asyncio.sleep(0.05)\n"
        "counting = asyncio.ensure_future(count())"
    )
    assert shown(notebook.run("await job")) == ["Job awaited: completed"]
    assert notebook.run("print(turns >= 3, (await job).counts)").outputs[-1]["text"] == (
        "True {'ok': 20}\n"
    )


@pytest.mark.slow
def test_cancelling_an_await_does_not_cancel_the_job(notebook: Any) -> None:
    notebook.run(
        'import asyncio\nserver.pause()\njob = requests.submit("left alone", client=client)'
    )
    cell = notebook.run(
        "try:\n    await asyncio.wait_for(job, 0.3)\nexcept TimeoutError:\n    print(job.status)\n"
        "server.resume()"
    )
    text = "".join(output.get("text", "") for output in cell.outputs)
    assert "validating" in text
    assert "bf.job('left alone')" in text
    assert notebook.run("print((await job).counts)").outputs[-1]["text"] == "{'ok': 20}\n"


@pytest.mark.slow
@pytest.mark.parametrize("waiting", ["job.wait()", "await job"])
def test_interrupting_the_kernel_does_not_cancel_the_job(notebook: Any, waiting: str) -> None:
    notebook.run('server.pause()\njob = requests.submit("interrupted", client=client)')
    client = notebook.client

    def once_it_is_shown(cell: Any, **_: Any) -> None:
        # Not before the wait has begun, even on a slow machine.
        def interrupt() -> None:
            while not cell.outputs:
                threading.Event().wait(0.05)
            asyncio.run(client.km.interrupt_kernel())

        threading.Thread(target=interrupt, daemon=True).start()

    client.on_cell_execute = once_it_is_shown
    with pytest.raises(
        notebooks.execution_error(), match=r"Stopped waiting; the job keeps running"
    ):
        notebook.run(waiting)
    client.on_cell_execute = None
    outputs = notebook.nb.cells[-1].outputs
    streams = "".join(output.get("text", "") for output in outputs)
    [error] = [output for output in outputs if output.output_type == "error"]
    assert len(error.traceback) == 1  # a line, and no frames
    line = "Stopped waiting; the job keeps running. To continue: job = bf.job('interrupted').wait()"
    assert streams.count(line) + error.traceback[0].count(line) == 1
    notebook.run("server.resume()")
    assert notebook.run("print(job.wait().counts)").outputs[-1]["text"] == "{'ok': 20}\n"


def test_after_a_restart_the_name_is_enough(notebook: Any, shown: Titles) -> None:
    notebook.run('requests.submit("kept", client=client).wait()')
    notebook.restart()
    assert notebook.run("print('client' in globals())").outputs[0]["text"] == "False\n"
    cell = notebook.run('import batchframe as bf\njob = bf.job("kept")\njob')
    assert shown(cell) == ["Job kept: completed"]
    assert notebook.run("print(job.counts)").outputs[0]["text"] == "{'ok': 20}\n"


@pytest.mark.slow
def test_the_buttons_work_and_the_saved_card_can_be_read_without_a_kernel(
    notebook: Any, shown: Titles
) -> None:
    notebook.run('server.pause()\njob = requests.submit("pressed", client=client)')
    cell = notebook.run("box = job.widget()\nbox")
    saved, buttons = cell.outputs
    assert "application/vnd.jupyter.widget-view+json" in buttons["data"]
    assert shown(cell)[0] == "Job pressed: being validated"
    assert "bf-card" in saved["data"]["text/html"]
    assert buttons["data"]["text/plain"] == ""  # nothing where widgets are not shown
    assert "bf-card" not in buttons["data"].get("text/html", "")  # it would be shown twice
    notebook.run("server.resume()\nend_of_watch()")  # the widget follows by itself
    text = notebook.run("print(box.children[0].value)").outputs[0]["text"]
    assert "Job pressed: completed" in text
    assert shown(cell)[0] == "Job pressed: completed"


@pytest.mark.slow
def test_every_object_shows_itself_as_text_and_html(notebook: Any, shown: Titles) -> None:
    for source in ("requests", "requests.estimate()", "requests.pilot(3, client=client)"):
        cell = notebook.run(source)
        assert set(cell.outputs[-1]["data"]) == {"text/plain", "text/html"}
        assert shown(cell)


def test_every_card_of_a_job_follows_it(notebook: Any, shown: Titles) -> None:
    notebook.run('server.pause()\njob = requests.submit("followed", client=client)')
    cells = [
        notebook.run("job"),
        notebook.run('bf.job("followed")'),
        notebook.run('bf.job("followed", client=client).widget()'),
    ]
    assert "as of " in cells[0].outputs[0]["data"]["text/html"]
    notebook.run("server.resume()\njob.wait()")
    for cell in cells:
        assert shown(cell)[0] == "Job followed: completed"
        assert "20 ok of 20 rows" in cell.outputs[0]["data"]["text/plain"]


def test_a_program_that_runs_a_notebook_keeps_text_and_html_and_no_widget(
    notebook: Any,
) -> None:
    for source in (
        'server.pause()\njob = requests.submit("kept", client=client)\njob',
        "server.resume()\njob.wait()",
        "job",
        "bf.jobs()",
        'requests.compare(["gpt-4.1", "gpt-4.1-mini"])',
    ):
        [output] = notebook.run(source).outputs
        assert set(output["data"]) == {"text/plain", "text/html"}


def test_a_front_end_for_people_gets_buttons(notebook: Any) -> None:
    notebook.run("from ipykernel.kernelbase import Kernel")
    notebook.run(
        "parent = Kernel.get_parent\n"
        "def with_cell(self, *args):\n"
        "    message = parent(self, *args)\n"
        "    return {**message, 'metadata': {**message.get('metadata', {}), 'cellId': 'a'}}\n"
        "type(get_ipython().kernel).get_parent = with_cell"
    )
    cell = notebook.run('job = requests.submit("buttons", client=client)\njob')
    saved, buttons = cell.outputs
    assert set(saved["data"]) == {"text/plain", "text/html"}
    assert "application/vnd.jupyter.widget-view+json" in buttons["data"]


def test_progress_is_not_red(notebook: Any) -> None:
    cell = notebook.run("pilot = requests.pilot(3, client=client)")
    [stream] = cell.outputs
    assert stream["name"] == "stdout"
    assert "Pilot: 3 requests" in stream["text"]
