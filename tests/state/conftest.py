"""The proxy and the small job of the submission tests."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

# pytest's importlib mode has no packages to import a sibling's fixtures from.
_spec = spec_from_file_location("faults", Path(__file__).parents[1] / "submission" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_faults = sys.modules.setdefault("faults", module_from_spec(_spec))
_spec.loader.exec_module(_faults)

proxy, requests, one_request_a_file = (
    _faults.proxy,
    _faults.requests,
    _faults.one_request_a_file,
)
