"""Print the facts of the newest packages that batchframe's tables lack."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from tools.facts import checks, first_seen, prices
from tools.facts.checks import Finding
from tools.facts.our_prices import our_prices
from tools.facts.wheels import PACKAGES, Wheel, download, find_wheels


def main() -> int:
    """Run the checks and return the exit code."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        source = options.wheels or Path(folder)
        error = None if options.wheels else download(source)
        wheels = find_wheels(source)
        if missing := [name for name in PACKAGES if name not in wheels]:
            reason = error or f"no wheel in {source}"
            print(f"Not checked: no {', '.join(missing)} ({reason}).")
            return int(options.fail)
        findings = list(examine(wheels, options.on))
    return report(findings, options)


def examine(wheels: Mapping[str, Wheel], on: date) -> Iterator[Finding]:
    """Yield all findings."""
    openai, rules = wheels["openai"], checks.load_rules()
    models = checks.batch_models(openai, rules, on)
    ours = our_prices(models, wheels["genai-prices"])
    yield from checks.missing_rules(models, openai)
    yield from prices.missing_prices(models, ours, openai)
    yield from prices.stale_snapshot(models, wheels["litellm"], on)
    yield from prices.price_changes(models, ours, wheels["litellm"])
    yield from checks.parameter_changes(openai, rules)
    yield from checks.shutdown_changes(openai, rules, on)


def report(findings: list[Finding], options: argparse.Namespace) -> int:
    """Print the findings with their dates, and return the exit code."""
    first_dates = first_seen.updated(first_seen.load(options.dates), findings, options.on)
    if options.record:
        first_seen.save(options.dates, first_dates)
    for one in findings:
        print(f"since {first_dates[one.key]}  {one.text}" if one.ages else f"note: {one.text}")
    late = first_seen.overdue(first_dates, options.on)
    to_change = sum(one.ages for one in findings)
    print(
        f"{to_change} to change, {len(late)} of them for more than {first_seen.PATIENCE.days} days."
    )
    return int(bool(late) and options.fail)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.facts", description=__doc__)
    parser.add_argument("--fail", action="store_true", help="exit 1 if a finding is overdue")
    parser.add_argument("--record", action="store_true", help="keep the first_seen dates")
    parser.add_argument("--wheels", type=Path, help="a folder with the wheels, to download none")
    parser.add_argument("--dates", type=Path, default=first_seen.PATH, help="file of the dates")
    parser.add_argument("--on", type=date.fromisoformat, default=datetime.now(UTC).date())
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
