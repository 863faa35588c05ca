"""A home of its own for every test, and a batch server on loopback."""

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
    """Add the switch for the whole suite and the one that rewrites the reviewed texts."""
    parser.addoption("--all", action="store_true", help="run slow tests, too, and more examples")
    parser.addoption("--update-texts", action="store_true", help="rewrite the reviewed texts")


def pytest_configure(config: pytest.Config) -> None:
    """Choose between the quick set and the whole suite."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background ignores Ctrl-C, and so would the processes that tests interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = config.getoption("--all")
    if whole and config.option.markexpr == QUICK:
        config.option.markexpr = ""
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("full" if whole else "quick")
    if whole and messages.FOLDER not in os.environ:
        # The workers inherit it.
        os.environ[messages.FOLDER] = config.stash[OWN_FOLDER] = tempfile.mkdtemp()
    if messages.FOLDER in os.environ:
        messages.record()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a few evenly spaced cases of each parametrized test for the quick set."""
    if config.getoption("--all") or any("::" in argument for argument in config.args):
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {item for of_one_test in cases.values() for item in _spread(of_one_test)}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _spread(cases: list[pytest.Item]) -> list[pytest.Item]:
    """Choose the first case, the last, and those evenly between."""
    if len(cases) <= QUICK_CASES:
        return cases
    last = len(cases) - 1
    return [cases[number * last // (QUICK_CASES - 1)] for number in range(QUICK_CASES)]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare what all tests have triggered with what the source can say."""
    config = session.config
    if messages.FOLDER not in os.environ:
        return
    messages.keep()
    if hasattr(config, "workerinput"):
        return
    said = messages.recorded()
    if config.getoption("--update-texts"):
        messages.update(MESSAGES, said)
    everything = config.getoption("--all") and config.args == ["tests"]
    options = config.option
    narrowed = options.keyword or options.markexpr or options.collectonly
    untold = [str(site) for site in messages.sites() if str(site) not in said]
    if everything and not narrowed and untold and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        report = config.pluginmanager.get_plugin("terminalreporter")
        report.write_line("No test triggers these messages: " + "; ".join(untold), red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what a run has noted for itself."""
    if folder := config.stash.get(OWN_FOLDER, None):
        shutil.rmtree(folder)
        del os.environ[messages.FOLDER]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Look for the key in what a test printed and logged."""
    _LEAKS.extend(f"{report.nodeid}: {name}" for name, text in report.sections if KEY in text)


@pytest.fixture(scope="session", autouse=True)
def _key_is_nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look, when all tests are done, for the key in every file that they left."""
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
    """Keep every test's jobs to itself, and its traffic on this machine."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session", autouse=True)
def _haste() -> Iterator[None]:
    """Look after jobs on this machine at intervals of milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        change_local(patch, settle=0.3, queue_pause=0.1, first_poll=0.02, last_poll=0.1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority: no test uses TLS, and loading the full list for each client is slow."""
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
    """Find the data that is too large or not ours to commit, or skip."""
    folder = Path(os.environ.get("BATCHFRAME_SHARED", REPO.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("needs the shared data sets: set BATCHFRAME_SHARED to their folder")
    return folder
