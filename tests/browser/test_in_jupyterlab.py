"""The first notebook, in JupyterLab in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

# The kernel's channels emit unrelated warnings; only the page is tested.
pytestmark = pytest.mark.filterwarnings("ignore")

NOTEBOOK = "notebooks/1_first_batch.ipynb"
WAITING = 9
"""The cell that waits for the job."""
# Records every title of a cell's card, in order.
REMEMBER = """number => {
    window.titles = [];
    const cell = document.querySelectorAll('.jp-Cell')[number];
    const look = () => {
        const title = cell.querySelector('.bf-card h4')?.textContent;
        if (title && window.titles.at(-1) !== title) window.titles.push(title);
    };
    new MutationObserver(look).observe(cell, {childList: true, subtree: true});
}"""
SECOND_JOB = """\
server = batchframe.local.serve()
server.pause(after=100)
other = plan.submit("second thoughts", client=server.client())
while not other.batches[0].completed:
    other.refresh()
other"""
THIRD_JOB = """\
slow = batchframe.local.serve()
slow.pause(after=40)
third = plan.submit("live", client=slow.client()).watch(poll=0.2)"""
SHOWN_ALIKE = """\
from IPython.display import display
for shown in (plan, plan.estimate(), job.report(), bf.jobs()):
    display(shown)
plan.compare(["gpt-4.1", "gpt-4.1-mini", "gpt-5.6-luna"])"""


def test_a_job_is_watched_cancelled_and_found_again(browser: Any) -> None:
    browser.open(NOTEBOOK)
    look_at_it_untrusted(browser)
    run_all_and_watch(browser)
    number = cancel_another(browser)
    live = watch_a_third(browser)
    reload_and_go_on(browser, number, live)
    restart_and_come_back(browser, number)


def look_at_it_untrusted(browser: Any) -> None:
    # No style sheet applies yet, and the text replaces the card.
    browser.cell(3).locator(".bf-fallback").wait_for()
    assert not browser.cell(3).locator(".bf-card").is_visible()
    browser.picture("1 as saved", of=browser.cell(3))


def run_all_and_watch(browser: Any) -> None:
    browser.do("notebook:clear-all-cell-outputs")
    browser.page.evaluate(REMEMBER, WAITING)
    browser.do("notebook:run-all-cells")
    browser.see("Job first batch: completed", in_=browser.cell(WAITING))
    titles = browser.page.evaluate("window.titles")
    assert titles[0] == "Job first batch: being validated"
    assert titles[-1] == "Job first batch: completed"
    browser.cell(12).get_by_text("estimated").last.wait_for()
    # Dollar amounts are not rendered as formulas.
    assert not browser.page.locator(".bf-card mjx-container").count()
    assert not browser.cell(3).locator(".bf-fallback").is_visible()
    for number, name in ((3, "2 requests"), (5, "3 estimate"), (WAITING, "4 completed")):
        browser.picture(name, of=browser.cell(number))


def cancel_another(browser: Any) -> int:
    """Cancel a second job by its buttons; return the number of their cell."""
    controls = browser.run(SECOND_JOB)
    browser.see("Job second thoughts: in progress", in_=controls)
    assert controls.get_by_role("heading", name="Job second thoughts").count() == 1
    controls.get_by_role("button", name="Cancel…").click()
    controls.get_by_text("Cancel the job?").wait_for()
    browser.picture("5 asked", of=controls)
    controls.get_by_role("button", name="Yes, cancel the job").click()
    browser.see("Job second thoughts: being cancelled", in_=controls)
    assert not controls.get_by_text("Cancel the job?").is_visible()
    browser.run("server.resume()")
    return int(browser.page.locator(".jp-Cell").count() - 2)


def watch_a_third(browser: Any) -> int:
    card = browser.run(THIRD_JOB)
    browser.see("Job live: in progress", in_=card)
    card.get_by_text("40 answered").last.wait_for()
    return int(browser.page.locator(".jp-Cell").count() - 1)


def reload_and_go_on(browser: Any, number: int, live: int) -> None:
    browser.save()
    browser.reload()
    browser.see("Job live: in progress", in_=browser.cell(live))
    browser.run("slow.resume()")
    # The live card follows the job after the reload, without a button.
    browser.see("Job live: completed", in_=browser.cell(live))
    browser.picture("5b live after a reload", of=browser.cell(live))
    controls = browser.cell(number)
    browser.see("Job second thoughts", in_=controls)
    browser.picture("6 reloaded", of=controls)
    # The kernel is still running, so the buttons work.
    cancelled = controls.get_by_role("heading", name="Job second thoughts: cancelled")
    while not cancelled.count():
        controls.get_by_role("button", name="Refresh").click()
        browser.page.wait_for_timeout(200)
    controls.get_by_role("button", name="Show answers").click()
    controls.get_by_role("heading", name="Answers").wait_for()
    browser.picture("7 cancelled", of=controls)


def restart_and_come_back(browser: Any, number: int) -> None:
    everything = browser.run(SHOWN_ALIKE)
    everything.get_by_text("cheapest").last.wait_for()
    browser.picture("7b tables", of=everything)
    browser.page.set_viewport_size({"width": 520, "height": 900})
    browser.picture("7c narrow", of=everything)
    browser.page.set_viewport_size({"width": 1200, "height": 900})
    browser.restart()
    # Buttons of a kernel that has ended cannot be pressed.
    browser.cell(number).get_by_role("button", name="Refresh").wait_for(state="hidden")
    card = browser.run('import batchframe as bf\njob = bf.job("first batch")\njob')
    browser.see("Job first batch: completed", in_=card)
    browser.picture("8 found again", of=card)
    listed = browser.run('bf.jobs()[["name", "status", "rows", "ok", "failed", "cost"]]')
    listed.get_by_role("rowheader", name="second thoughts").wait_for()
    browser.picture("9 listed", of=listed)
    browser.picture("10 window")
    browser.save()
    browser.reload()
    # The widget no longer exists in a kernel; the saved output is still readable.
    controls = browser.cell(number)
    browser.see("Job second thoughts", in_=controls)
    # JupyterLab does not update outputs that it loaded from the file: this is the card as of then.
    controls.get_by_role("heading", name="Job second thoughts: being cancelled").wait_for()
    controls.get_by_text("as of ").last.wait_for()
    assert not controls.get_by_text("Error displaying widget").is_visible()
    assert not controls.get_by_role("button", name="Refresh").count()
    browser.picture("11 without its kernel", of=controls)
