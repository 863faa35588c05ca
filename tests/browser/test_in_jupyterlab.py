"""The first notebook as a person sees it: JupyterLab in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

# The kernel's own channels warn about what they are; the page is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore")

NOTEBOOK = "notebooks/1_first_batch.ipynb"
WAITING = 9
"""The cell that waits for the job."""
# Keeps every title that the card of one cell ever had, in order.
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
other = requests.submit("second thoughts", client=server.client())
while not other.batches[0].completed:
    other.refresh()
other.widget()"""


def test_a_job_is_watched_cancelled_and_found_again(browser: Any) -> None:
    browser.open(NOTEBOOK)
    look_at_it_untrusted(browser)
    run_all_and_watch(browser)
    number = cancel_another(browser)
    reload_and_go_on(browser, number)
    restart_and_come_back(browser, number)


def look_at_it_untrusted(browser: Any) -> None:
    # No style sheet counts yet, and the text stands for the card.
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
    assert not browser.page.locator(".bf-card mjx-container").count()  # no dollars are a formula
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


def reload_and_go_on(browser: Any, number: int) -> None:
    browser.save()
    browser.reload()
    controls = browser.cell(number)
    browser.see("Job second thoughts", in_=controls)
    browser.picture("6 reloaded", of=controls)
    # The kernel has lived on, so the buttons work.
    cancelled = controls.get_by_role("heading", name="Job second thoughts: cancelled")
    while not cancelled.count():
        controls.get_by_role("button", name="Refresh").click()
        browser.page.wait_for_timeout(200)
    controls.get_by_role("button", name="Show answers").click()
    controls.get_by_text("job.results()").wait_for()
    browser.picture("7 cancelled", of=controls)


def restart_and_come_back(browser: Any, number: int) -> None:
    browser.restart()
    found = browser.run('import batchframe as bf\njob = bf.job("first batch")\njob')
    browser.see("Job first batch: completed", in_=found)
    browser.picture("8 found again", of=found)
    listed = browser.run('bf.jobs()[["name", "status", "rows", "ok", "failed", "cost"]]')
    listed.get_by_text("second thoughts").wait_for()
    browser.picture("9 listed", of=listed)
    browser.picture("10 window")
    browser.save()
    browser.reload()
    # No kernel knows the widget any more: what was saved can still be read.
    controls = browser.cell(number)
    browser.see("Job second thoughts", in_=controls)
    controls.get_by_text("The buttons need the kernel that made them.").last.wait_for()
    browser.picture("11 without its kernel", of=controls)
