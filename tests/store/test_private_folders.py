"""X3: state is private, for any umask and existing folder."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchframe as bf
import batchframe.local

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")


def modes(home: Path) -> dict[str, int]:
    paths = [home, *home.rglob("*")]
    return {str(path.relative_to(home)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_x3_folders_and_files_are_private_whatever_the_umask(
    umask: int, requests: bf.Requests, server: batchframe.local.Server, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("BATCHFRAME_HOME", str(home))
    before = os.umask(umask)
    try:
        requests.submit(client=server.client()).wait().results()
    finally:
        os.umask(before)
    file_modes = modes(tmp_path / "not")
    assert len(file_modes) > 8
    for path, mode in file_modes.items():
        assert mode == (0o700 if (tmp_path / "not" / path).is_dir() else 0o600), path


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o702])
def test_x3_a_state_folder_writable_by_others_is_refused_and_unchanged(
    mode: int, requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    home.mkdir()
    home.chmod(mode)
    for attempt in (lambda: requests.submit(client=server.client()), bf.jobs):
        if attempt is bf.jobs:
            (home / "jobs").mkdir(mode=0o700, exist_ok=True)
        with pytest.raises(bf.errors.JobError, match=f"chmod 700 {home}"):
            attempt()
    assert stat.S_IMODE(home.stat().st_mode) == mode
    assert server.client().files.list().data == []
    home.chmod(0o700)
    assert requests.submit(client=server.client()).wait().counts == {"ok": 3}


def test_x3_a_state_folder_writable_by_others_is_used_if_allowed(
    requests: bf.Requests, server: batchframe.local.Server, home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("BATCHFRAME_ALLOW_INSECURE", "1")
    assert requests.submit(client=server.client()).wait().counts == {"ok": 3}
    assert stat.S_IMODE((home / "jobs").stat().st_mode) == 0o700


def test_x3_a_state_folder_readable_by_others_is_used(
    requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    home.mkdir()
    home.chmod(0o755)
    assert requests.submit(client=server.client()).wait().counts == {"ok": 3}
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


@pytest.mark.parametrize("opened", [0o777, 0o755])
def test_x3_an_open_job_folder_is_closed_with_a_warning(
    opened: int, requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    for folder in (home / "jobs", job.folder):
        folder.chmod(opened)
        with pytest.warns(bf.errors.OpenFolderWarning, match=f"{opened:04o}.*0700") as warned:
            requests.submit("kept", client=server.client())
        assert str(folder) in str(warned[0].message)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        requests.submit("kept", client=server.client())


def test_x3_a_file_system_without_permissions_is_refused_unless_allowed(
    requests: bf.Requests, server: batchframe.local.Server, home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # As on a share where every file has mode 0777.
    def stays_open(path: Path, _mode: int) -> None:
        os.chmod(path, 0o777)  # noqa: PTH101, S103 - the method is what is replaced

    monkeypatch.setattr(Path, "chmod", stays_open)
    home.mkdir(mode=0o700)
    with pytest.raises(bf.errors.JobError, match="BATCHFRAME_ALLOW_INSECURE=1"):
        requests.submit(client=server.client())
    monkeypatch.setenv("BATCHFRAME_ALLOW_INSECURE", "1")
    assert requests.submit(client=server.client()).wait().counts == {"ok": 3}


def test_x3_a_linked_state_folder_is_followed(
    requests: bf.Requests, server: batchframe.local.Server, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "large-disk").mkdir(mode=0o700)
    home.symlink_to(tmp_path / "large-disk")
    requests.submit("kept", client=server.client()).wait()
    assert bf.job("kept").counts == {"ok": 3}
    assert (tmp_path / "large-disk" / "jobs").is_dir()


def test_x3_a_link_in_place_of_the_jobs_folder_is_refused(
    requests: bf.Requests, server: batchframe.local.Server, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.mkdir(mode=0o700)
    (home / "jobs").symlink_to(tmp_path / "elsewhere")
    for attempt in (lambda: requests.submit(client=server.client()), bf.jobs):
        with pytest.raises(bf.errors.JobError, match="symbolic link"):
            attempt()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_x3_a_link_in_place_of_a_job_folder_is_refused_and_not_listed(
    requests: bf.Requests, server: batchframe.local.Server, tmp_path: Path
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    moved = shutil.move(job.folder, tmp_path / "moved")
    job.folder.symlink_to(moved)
    with pytest.warns(bf.errors.UnreadableJobWarning, match="symbolic link"):
        assert bf.jobs().empty
    with pytest.raises(bf.errors.JobError, match="symbolic link"):
        requests.submit("kept", client=server.client())
    # As a path, it is what the user means.
    assert bf.job(tmp_path / "moved").counts == {"ok": 3}


FILES = [
    "journal.jsonl", "manifest.json", "rows.parquet", "input-000.jsonl", "output-000.jsonl", "lock",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", FILES)
def test_x3_links_and_pipes_inside_are_not_followed(
    name: str, kind: str, requests: bf.Requests, server: batchframe.local.Server, tmp_path: Path
) -> None:
    server.pause()
    job = requests.submit("kept", client=server.client())
    path = job.folder / name
    secret = tmp_path / "secret"
    secret.write_bytes(path.read_bytes() if path.exists() else b"{}\n")
    before = secret.read_bytes()
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    server.resume()
    try:
        reopened = bf.job(job.folder, client=server.client())
        reopened.wait(timeout=20).results()
        reopened.unanswered()
    except bf.errors.JobError as reason:
        assert str(job.folder) in str(reason)  # noqa: PT017
    assert secret.read_bytes() == before
    assert len(server.ledger) <= 1


@pytest.fixture
def other_home() -> Iterator[Path]:
    if os.geteuid() == 0 and not all(
        folder.stat().st_mode & stat.S_IXOTH for folder in Path(bf.__file__).parents
    ):
        pytest.skip("the installed package is closed to the user without rights")
    # Directly below /tmp, because other users cannot enter pytest's folders.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


DROP_RIGHTS = """
import os, tempfile
import pandas as pd
import batchframe as bf
import batchframe.local
if os.geteuid() == 0:
    # What is imported on the way may not be readable later.
    wanted = os.environ["BATCHFRAME_HOME"]
    with tempfile.TemporaryDirectory() as home, batchframe.local.serve() as server:
        os.environ["BATCHFRAME_HOME"] = home
        frame = pd.DataFrame({"text": ["a"]})
        requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+"])
        repr(requests.submit(client=server.client()).wait().results())
    os.environ["BATCHFRAME_HOME"] = wanted
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
"""


def as_nobody(home: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code as an unprivileged user, also if the tests run as root."""
    command = [sys.executable, "-c", DROP_RIGHTS + textwrap.dedent(code), *arguments]
    environment = {**os.environ, "BATCHFRAME_HOME": str(home)}
    environment.pop("SSL_CERT_FILE")  # private, like all files of the tests
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, check=False
    )


SUBMIT = """
    import sys, openai, pandas as pd, batchframe as bf
    frame = pd.DataFrame({"text": ["a"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+"])
    try:
        requests.submit("kept", client=openai.OpenAI(base_url=sys.argv[1], api_key="local"))
    except bf.errors.BatchframeError as reason:
        print(type(reason).__name__, reason)
    try:
        print(len(bf.jobs()), "jobs")
    except bf.errors.BatchframeError as reason:
        print(type(reason).__name__, reason)
"""


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_x3_a_state_folder_without_permission_raises_and_nothing_is_sent(
    mode: int, other_home: Path, server: batchframe.local.Server
) -> None:
    home = other_home / "home"
    home.mkdir()
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
    home.chmod(mode)
    process = as_nobody(home, SUBMIT, server.url)
    home.chmod(0o700)
    assert process.returncode == 0, process.stderr
    assert "JobError" in process.stdout
    assert "Permission denied" in process.stdout
    assert "set BATCHFRAME_HOME" in process.stdout
    assert server.client().files.list().data == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs two users")
def test_x3_a_state_folder_of_another_user_is_refused(
    other_home: Path, server: batchframe.local.Server
) -> None:
    home = other_home / "home"
    home.mkdir(mode=0o777)
    os.chown(home, 1234, 1234)
    process = as_nobody(home, SUBMIT, server.url)
    assert "belongs to another user (number 1234)" in process.stdout, process.stderr
    os.chown(home, 65534, 65534)
    home.chmod(0o700)
    (home / "jobs").mkdir(mode=0o777)
    os.chown(home / "jobs", 1234, 1234)
    process = as_nobody(home, SUBMIT, server.url)
    assert "belongs to another user (number 1234)" in process.stdout, process.stderr
    assert server.client().files.list().data == []


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ("~nosuchuser-of-batchframe/x", "not a valid path"),
        ("{tmp}/file/below", "Not a directory"),
        ("{tmp}/file", "in place of a folder"),
        ("{tmp}/" + "x" * 300, "shorter name"),
        ("/proc/batchframe", "could not be read or written"),
    ],
)
def test_x3_an_impossible_state_folder_raises_a_clear_error(  # noqa: PLR0917 - cases and fixtures
    value: str,
    fragment: str,
    requests: bf.Requests,
    server: batchframe.local.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BATCHFRAME_HOME", value.format(tmp=tmp_path))
    with pytest.raises(bf.errors.JobError, match=fragment):
        requests.submit(client=server.client())
    try:
        assert bf.jobs().empty
    except bf.errors.JobError as reason:
        assert "BATCHFRAME_HOME" in str(reason)  # noqa: PT017
    assert server.client().files.list().data == []


@pytest.mark.slow
def test_x3_a_finished_job_in_a_folder_that_cannot_be_written_is_read(
    requests: bf.Requests, server: batchframe.local.Server, other_home: Path
) -> None:
    job = requests.submit("kept", client=server.client()).wait()
    copy = Path(shutil.copytree(job.folder, other_home / "copy"))
    (copy / "answers.parquet").unlink(missing_ok=True)
    for path in (copy, *copy.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    code = """
        import sys, batchframe as bf
        job = bf.job(sys.argv[1])
        print(job.wait().results()["bf_status"].tolist(), job.counts)
        bf.job(sys.argv[1]).cancel()
    """
    process = as_nobody(other_home / "none", code, str(copy))
    assert process.stdout.strip() == "['ok', 'ok', 'ok'] {'ok': 3}", process.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs users with numbers")
def test_x3_a_folder_of_another_user_is_refused(
    home: Path,
    requests: bf.Requests,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(home, 1234, 1234)
    somebody = os.geteuid() + 4321
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with pytest.raises(bf.errors.JobError, match="belongs to another user"):
        requests.submit("theirs", client=server.client())
