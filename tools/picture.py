"""Take the README's picture: a job's card and the labeled frame.

``python -m tools.picture`` writes ``docs/_static/card.png``. It labels the sample messages with the
local server and MiniLM, and needs the extras ``demo`` and ``browser`` and Debian's Chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

import batchframe as bf
import batchframe.local

REPO = Path(__file__).parents[1]
PICTURE = REPO / "docs" / "_static" / "card.png"
PAGE = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 16px; width: 860px; background: #fff; font: 14px system-ui, sans-serif; }
p { margin: 0 0 6px; font: 13px ui-monospace, "DejaVu Sans Mono", monospace; color: #59636e; }
p ~ p { margin-top: 14px; }
table.dataframe { border-collapse: collapse; border: 0; font-size: 13px; }
table.dataframe th, table.dataframe td { border: 0; padding: 5px 10px; text-align: left; }
table.dataframe td:not(:nth-child(2)) { white-space: nowrap; }
table.dataframe tbody tr:nth-child(odd) { background: #f5f5f5; }
</style><p>job.wait()</p><div>%s</div><p>messages.bf.join(job)</p><div>%s</div>"""


def main() -> int:
    """Write the picture; return the exit code."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium not found. Fix: apt-get install chromium")
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(device_scale_factor=1.5)
        page.set_content(PAGE % _shown())
        page.locator("body").screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(REPO)}: {PICTURE.stat().st_size // 1024} KB")
    return 0


def _shown() -> tuple[str, str]:
    """Label the messages; return the card and the frame as HTML."""
    messages = pd.read_csv(REPO / "data_samples" / "customer_messages.csv")
    topics = messages["topic"].dropna().unique().tolist()
    plan = messages.bf.requests(
        "Which topic is this message about?\n\n{{ text }}",
        model="gpt-6-luna",
        output=topics,
        on_missing="skip",
        reasoning_effort="none",
    )
    with (
        tempfile.TemporaryDirectory() as home,
        batchframe.local.serve(batchframe.local.minilm()) as server,
    ):
        os.environ["BATCHFRAME_HOME"] = home
        job = plan.submit("topics", max_cost=2, client=server.client()).wait()
        labeled = bf.join(messages, job)[["text", "topic", "label", "bf_status"]]
        return job._repr_html_(), labeled.head(6).to_html()


if __name__ == "__main__":
    sys.exit(main())
