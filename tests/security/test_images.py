"""X7: no image cell can open a file outside ``image_root``."""

from __future__ import annotations

import base64
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchframe as bf
from batchframe.errors import CellError
from tests.support.closing import wait_until_closed
from tests.support.examples import examples
from tests.support.pictures import data_url, png, urls_of

SECRET = b"\x89PNG\r\n\x1a\n-----BEGIN OPENSSH PRIVATE KEY-----"
"""Begins as an image does, so that only its place keeps it from being sent."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of images beside a secret file."""
    home = tmp_path / "person"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_rsa").write_bytes(SECRET)
    (tmp_path / "secret.png").write_bytes(SECRET)
    (tmp_path / "photos2").mkdir()
    (tmp_path / "photos2" / "secret.png").write_bytes(SECRET)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    photos = tmp_path / "photos"
    (photos / "cats").mkdir(parents=True)
    (photos / "cats" / "1.png").write_bytes(png())
    (photos / "notes.png").write_text("the password is hunter2", encoding="utf-8")
    (photos / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return photos


def ask(cell: Any, root: Path | None) -> list[str]:
    frame = pd.DataFrame({"photo": pd.Series([cell], dtype=object)})
    requests = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=root)
    return urls_of(requests.preview()[0]["body"])


HOSTILE = [
    "~/.ssh/id_rsa",
    "../secret.png",
    "cats/../../secret.png",
    "cats/../cats/1.png",
    "..",
    "..\\secret.png",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "//etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "/dev/stdin",
    "file:///etc/passwd",
    "FILE://localhost/etc/passwd",
    "file:/etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "HTTP://127.0.0.1/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript://example.org/%0aalert(1)",
    "data:text/plain;base64," + base64.b64encode(b"hunter2").decode(),
    "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode(),
    "cats/1.png\0.txt",
    "\0",
    "cats/1.png/x",
    "cats",
    ".",
    "",
    " ",
    "a" * 300,
    "a/" * 5000,
    "%2e%2e/secret.png",
    "$HOME/.ssh/id_rsa",
    "C:\\Windows\\win.ini",
    "\\\\server\\share\\a.png",
    "notes.png",
    "drawing.png",
    "\ud800.png",
    "cats/1.png\n",
]


@pytest.mark.parametrize("cell", HOSTILE, ids=lambda cell: ascii(cell)[:40])
@pytest.mark.parametrize("rooted", [True, False], ids=["with a root", "without"])
def test_x7_hostile_cells_are_refused_before_anything_is_sent(
    cell: str, rooted: bool, root: Path
) -> None:
    with no_network(), watched() as opened, pytest.raises(CellError) as excinfo:
        ask(cell, root if rooted else None)
    assert "hunter2" not in str(excinfo.value)
    assert "OPENSSH" not in str(excinfo.value)
    if not rooted:
        assert not opened


def test_x7_absolute_paths_are_read_inside_the_root_only(root: Path) -> None:
    assert ask(str(root / "cats" / "1.png"), root) == [data_url(png())]
    assert ask(root / "cats" / "1.png", root) == [data_url(png())]
    for other in (root.parent / "secret.png", root.parent / "photos2" / "secret.png"):
        with pytest.raises(CellError, match="holds a path outside image_root"):
            ask(other, root)


def test_x7_no_path_is_read_without_a_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for cell in ("cats/1.png", Path("cats/1.png"), str(root / "cats" / "1.png")):
        with watched() as opened, pytest.raises(CellError, match="requires image_root="):
            ask(cell, None)
        assert not opened


@posix
@pytest.mark.parametrize("target", ["../secret.png", "cats/1.png", "/etc/passwd", "loop.png"])
def test_x7_links_to_files_are_not_followed(target: str, root: Path) -> None:
    (root / "loop.png").symlink_to(target)
    with pytest.raises(CellError, match="names a symbolic link"):
        ask("loop.png", root)


@posix
@pytest.mark.parametrize("target", ["..", "cats", "/etc"])
def test_x7_links_to_folders_are_not_followed(target: str, root: Path) -> None:
    (root / "way").symlink_to(target)
    (root.parent / "1.png").write_bytes(SECRET)
    with pytest.raises(CellError, match="links are not followed"):
        ask("way/1.png", root)


@posix
@pytest.mark.parametrize("cell", ["file.png", "way/1.png", "pipe.png", "../secret.png", "cats"])
def test_x7_without_folder_descriptors_links_are_resolved_and_refused(
    cell: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchframe._frames.safe_paths._STEPWISE", False)  # as on Windows
    (root / "file.png").symlink_to("../secret.png")
    (root / "way").symlink_to("cats")
    os.mkfifo(root / "pipe.png")
    assert ask("cats/1.png", root) == [data_url(png())]
    with watched() as opened, pytest.raises(CellError):
        ask(cell, root)
    assert not opened


@posix
def test_x7_the_root_itself_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    for cell in ("cats/1.png", root.parent / "link" / "cats" / "1.png", root / "cats" / "1.png"):
        assert ask(cell, root.parent / "link") == [data_url(png())]


@posix
def test_x7_a_link_that_replaces_a_file_later_is_not_followed(root: Path) -> None:
    frame = pd.DataFrame({"photo": ["cats/1.png"]})
    requests = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=root)
    (root / "cats" / "1.png").unlink()
    (root / "cats" / "1.png").symlink_to(root.parent / "secret.png")
    with pytest.raises(CellError, match="names a symbolic link"):
        requests.preview()
    (root / "cats" / "1.png").unlink()
    (root / "cats").rmdir()
    (root / "cats").symlink_to(root.parent)
    (root.parent / "1.png").write_bytes(SECRET)
    with pytest.raises(CellError, match="links are not followed"):
        requests.preview()


@posix
def test_x7_special_files_are_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        name = os.path.relpath(root / "s.png")
        listening.bind(name if len(name) < 100 else str(root / "s.png"))
        for cell in ("pipe.png", "s.png"):
            with pytest.raises(CellError, match="not a regular file"):
                ask(cell, root)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_x7_an_unreadable_file_is_named(root: Path) -> None:
    (root / "cats" / "1.png").chmod(0)
    with pytest.raises(CellError, match="cannot be opened"):
        ask("cats/1.png", root)


def test_x7_a_file_is_read_up_to_the_limit_and_no_further(root: Path) -> None:
    endless = root / "endless.png"
    with endless.open("wb") as file:
        file.write(png())
        file.truncate(40 * 2**30)  # sparse: it takes no disk space
    with pytest.raises(CellError, match="more than 20 MB"):
        ask("endless.png", root)
    endless.unlink()  # all files of the tests are searched for the key


def test_x7_one_refused_row_prevents_sending_the_others(root: Path) -> None:
    frame = pd.DataFrame({"photo": ["cats/1.png", "../secret.png"]})
    with pytest.raises(CellError, match="1 of 2 rows"):
        frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=root, on_missing="skip")


def test_x7_urls_are_never_fetched(root: Path) -> None:
    cells = ["https://169.254.169.254/a.png", "https://localhost/a.png", "https://example.org/"]
    frame = pd.DataFrame({"photo": cells})
    with no_network():
        requests = frame.bf.requests("?", model="gpt-4.1", images="photo", image_root=root)
        assert [urls_of(line["body"]) for line in requests.preview()] == [[cell] for cell in cells]


TEXT = st.text(max_size=40)
PIECES = [
    "..",
    ".",
    "/",
    "\\",
    "cats",
    "1.png",
    "~",
    "photos",
    "secret.png",
    "\0",
    "file:",
    "data:",
]
PATHS = st.lists(
    st.sampled_from([*PIECES, "//", "image/png", ";base64,", "photos2", "way"]), max_size=9
)
CELLS = TEXT | PATHS.map("".join) | PATHS.map("/".join) | st.binary(max_size=30)


@settings(max_examples=examples(400))
@given(cell=CELLS, absolute=st.booleans(), as_path=st.booleans())
def test_x7_no_cell_can_open_a_file_outside_the_root(
    cell: str | bytes, absolute: bool, as_path: bool, root: Path
) -> None:
    if sys.platform != "win32" and not (root / "way").is_symlink():
        (root / "way").symlink_to("..")
    value: Any = f"{root.parent}/{cell}" if absolute and isinstance(cell, str) else cell
    value = Path(value) if as_path and isinstance(value, str) and "\0" not in value else value
    with watched() as opened:
        try:
            urls = ask(value, root)
        except CellError:
            urls = []
    assert all(base64.b64encode(SECRET).decode()[:20] not in url for url in urls)
    outside = [path for path in opened if not path.is_relative_to(os.path.realpath(root))]
    assert not outside


_watching: list[list[Any]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event == "open":
        _watching[-1].append(arguments[0])


sys.addaudithook(_note)


@contextmanager
def watched() -> Iterator[list[Path]]:
    """Record the real paths of files and folders opened in the block.

    The audit hook sees every open call. If a name is relative to an open folder, it sees only the
    name, so the path of the descriptor that `os.open` returned is looked up.
    """
    wait_until_closed()
    opened_paths: list[Any] = []
    opened: list[Path] = []
    really_open = os.open

    def noted(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        before = len(opened_paths)
        try:
            descriptor = really_open(path, flags, mode, dir_fd=dir_fd)
        finally:
            if dir_fd is not None:
                del opened_paths[before:]
                assert "/" not in path
                assert path not in {"..", "."}
        link = Path(f"/proc/self/fd/{descriptor}")
        if link.exists():
            opened.append(link.resolve())
        return descriptor

    _watching.append(opened_paths)
    os.open = noted
    try:
        yield opened
    finally:
        os.open = really_open
        _watching.pop()
        # Numbers are open descriptors; Python reads its own modules.
        named = [Path(os.fsdecode(path)) for path in opened_paths if isinstance(path, str | bytes)]
        code = (sys.prefix, sys.base_prefix, str(Path(bf.__file__).parent))
        opened += [Path(path) for path in named if not str(path).startswith(code)]


@contextmanager
def no_network() -> Iterator[None]:
    """Fail if a socket connects or a name is resolved."""

    def refuse(*arguments: object, **_: object) -> Any:
        raise AssertionError(arguments)

    originals = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect, socket.getaddrinfo = refuse, refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        socket.socket.connect, socket.getaddrinfo = originals  # type: ignore[method-assign]
