"""A state folder for every test, and a batch server on loopback."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import settings

import batchframe.local
from tests.support import messages
from tests.support.closing import close_meanwhile, wait_until_closed
from tests.support.examples import register_profiles
from tests.support.profiles import change_local

REPO = Path(__file__).parent.parent
KEY = "sk-CANARY-0123456789abcdef"
QUICK = "not slow"
QUICK_CASES = 2
MESSAGES = REPO / "tests" / "project" / "messages.md"
OWN_FOLDER = pytest.StashKey[str]()
_LEAKS: list[str] = []

register_profiles()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --all and --update-texts."""
    parser.addoption("--all", action="store_true", help="run slow tests, too, and more examples")
    parser.addoption("--update-texts", action="store_true", help="rewrite the reviewed texts")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the quick set or all tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A background shell ignores Ctrl-C, and child processes would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_all = config.getoption("--all")
    if run_all and config.option.markexpr == QUICK:
        config.option.markexpr = ""
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("full" if run_all else "quick")
    if run_all and messages.FOLDER not in os.environ:
        # The workers inherit it.
        os.environ[messages.FOLDER] = config.stash[OWN_FOLDER] = tempfile.mkdtemp()
    if messages.FOLDER in os.environ:
        messages.record()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a few cases of each parametrized test in the quick set."""
    if config.getoption("--all") or any("::" in argument for argument in config.args):
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    selected = {item for of_one_test in cases.values() for item in _spread(of_one_test)}
    config.hook.pytest_deselected(items=[item for item in items if item not in selected])
    items[:] = [item for item in items if item in selected]


def _spread(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Select the first case, the last, and cases evenly between."""
    if len(cases) <= QUICK_CASES:
        return cases
    last = len(cases) - 1
    return [cases[number * last // (QUICK_CASES - 1)] for number in range(QUICK_CASES)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare the triggered messages with those of the source."""
    config = session.config
    if messages.FOLDER not in os.environ:
        return
    messages.keep()
    if hasattr(config, "workerinput"):
        return
    recorded = messages.recorded()
    if config.getoption("--update-texts"):
        messages.update(MESSAGES, recorded)
    everything = config.getoption("--all") and config.args == ["tests"]
    options = config.option
    narrowed = options.keyword or options.markexpr or options.collectonly
    missing = [str(site) for site in messages.sites() if str(site) not in recorded]
    if everything and not narrowed and missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        report = config.pluginmanager.get_plugin("terminalreporter")
        report.write_line("No test triggers these messages: " + "; ".join(missing), red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the temporary files of a run."""
    if folder := config.stash.get(OWN_FOLDER, None):
        shutil.rmtree(folder)
        del os.environ[messages.FOLDER]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Search a test's output and logs for the key."""
    _LEAKS.extend(f"{report.nodeid}: {name}" for name, text in report.sections if KEY in text)


@pytest.fixture(scope="session", autouse=True)
def _key_is_nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search every file that the tests left for the key."""
    yield
    wait_until_closed()
    written = (path for path in tmp_path_factory.getbasetemp().rglob("*") if path.is_file())
    leaks = [*_LEAKS, *(str(path) for path in written if _holds_key(path))]
    assert not leaks, f"the key stands in: {leaks}"


def _holds_key(path: Path) -> bool:
    if path.is_symlink() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(KEY.encode()) >= 0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own state folder, and no proxy."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session", autouse=True)
def _haste() -> Iterator[None]:
    """Poll the local server every few milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        change_local(patch, settle=0.3, queue_pause=0.1, first_poll=0.02, last_poll=0.1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust a single certificate authority, which loads faster."""
    end = "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("tls") / "one.pem"
    bundle = Path(certifi.where()).read_text("utf-8")
    path.write_text(bundle[bundle.index("-----BEGIN") : bundle.index(end) + len(end)], "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture
def server() -> Iterator[batchframe.local.Server]:
    """Serve simulated answers."""
    running = batchframe.local.serve()
    yield running
    close_meanwhile(running)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of data that is not in the repository, or skip."""
    folder = Path(os.environ.get("BATCHFRAME_SHARED", REPO.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data sets: set BATCHFRAME_SHARED to their folder")
    return folder
