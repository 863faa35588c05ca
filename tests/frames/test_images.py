"""Images in requests, and the supported cells."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import batchframe as bf
from batchframe.errors import CellError, ColumnError, ExtraError, RequestError, TemplateError
from tests.support.pictures import GIF, JPEG, WEBP, data_url, png, png_header, urls_of

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
PHOTO = "https://example.org/cat.jpg"


def ask(cells: Any, prompt: Any = "What is this?", **options: Any) -> bf.Requests:
    frame = pd.DataFrame({"photo": cells, "text": [f"t{i}" for i in range(len(cells))]})
    return bf.requests(frame, prompt, **{"model": "gpt-4.1", "images": "photo", **options})


def body(cells: Any, prompt: Any = "What is this?", **options: Any) -> dict[str, Any]:
    return ask(cells, prompt, **options).preview(1)[0]["body"]


def test_chat_completions_get_an_image_behind_the_text() -> None:
    [message] = body([PHOTO], "Is {{ text }} this?", image_detail="low")["messages"]
    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Is t0 this?"},
            {"type": "image_url", "image_url": {"url": PHOTO, "detail": "low"}},
        ],
    }


def test_responses_get_an_image_behind_the_text() -> None:
    request_body = body([PHOTO], "Is {{ text }} this?", endpoint=RESPONSES, system="Be brief.")
    assert request_body["instructions"] == "Be brief."
    assert request_body["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Is t0 this?"},
                {"type": "input_image", "image_url": PHOTO, "detail": "auto"},
            ],
        }
    ]


@pytest.mark.parametrize(("endpoint", "text"), [(CHAT, "text"), (RESPONSES, "input_text")])
def test_images_are_added_to_the_last_user_message(endpoint: str, text: str) -> None:
    prompt = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": [{"type": text, "text": "{{ text }}"}]},
        {"role": "assistant", "content": "It is a"},
    ]
    key = "messages" if endpoint == CHAT else "input"
    messages = body([PHOTO], prompt, endpoint=endpoint)[key]
    assert [isinstance(message["content"], list) for message in messages] == [0, 0, 1, 0]
    assert messages[2]["content"][0] == {"type": text, "text": "t0"}
    assert len(messages[2]["content"]) == 2


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_images_of_several_columns_keep_the_given_order(endpoint: str) -> None:
    frame = pd.DataFrame({"back": [png(2)], "front": [png(1)]})
    requests = frame.bf.requests(
        "Same?", model="gpt-4.1", images=["front", "back"], endpoint=endpoint
    )
    [line] = requests.preview()
    assert urls_of(line["body"]) == [data_url(png(1)), data_url(png(2))]


def test_a_prompt_without_a_user_message_is_an_error() -> None:
    with pytest.raises(TemplateError, match="the prompt has no user message"):
        ask([PHOTO], [{"role": "system", "content": "{{ text }}"}])


@pytest.mark.parametrize(
    ("cell", "kind"),
    [(png(), "png"), (GIF, "gif"), (JPEG, "jpeg"), (WEBP, "webp"), (bytearray(png()), "png")],
)
def test_the_first_bytes_determine_the_image_type(cell: Any, kind: str) -> None:
    assert urls_of(body([cell])) == [data_url(bytes(cell), kind)]


def test_the_same_image_in_any_form_is_one_request(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.jpg").write_bytes(png())  # its name does not matter
    wrong_type = data_url(png()).replace("image/png", "image/jpeg")
    cells = [png(), data_url(png()), wrong_type, "a.png", Path("b.jpg"), tmp_path / "a.png"]
    requests = ask(cells, image_root=tmp_path)
    assert (len(requests), requests.rows) == (1, 6)
    assert urls_of(requests.preview()[0]["body"]) == [data_url(png())]
    assert len(ask([png(shade=1), png(shade=2), png(shade=1)])) == 2


def test_arrow_and_pandas_columns_may_contain_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    binary = pd.Series([png()], dtype=pd.ArrowDtype(pa.binary()))
    text = pd.Series(["a.png"], dtype="string")
    category = pd.Series(["a.png"], dtype="category")
    for cells in (binary, text, category):
        assert urls_of(body(cells, image_root=tmp_path)) == [data_url(png())]


def test_a_pil_image_is_sent_as_png() -> None:
    image_module = pytest.importorskip("PIL.Image")
    for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK", "F", "I;16"):
        [url] = urls_of(body([image_module.new(mode, (5, 4))]))
        assert url.startswith("data:image/png;base64,")
    twice = ask([image_module.new("RGB", (5, 4)), image_module.new("RGB", (5, 4))])
    assert len(twice) == 1


def test_missing_images_follow_on_missing() -> None:
    with pytest.raises(CellError, match="column 'photo' is missing"):
        ask([PHOTO, None])
    skipped = ask([PHOTO, None, float("nan"), pd.NA], on_missing="skip")
    assert (len(skipped), skipped.rows) == (1, 4)
    requests = ask([None, PHOTO], "{{ text }}", on_missing="empty")
    bodies = [line["body"] for line in requests.preview()]
    assert [urls_of(one) for one in bodies] == [[], [PHOTO]]
    assert bodies[0]["messages"][0]["content"] == [{"type": "text", "text": "t0"}]


def test_a_missing_image_does_not_affect_the_others_of_its_row() -> None:
    frame = pd.DataFrame({"a": [PHOTO, None, None], "b": [None, png(), None]})
    requests = frame.bf.requests("?", model="gpt-4.1", images=["a", "b"], on_missing="empty")
    assert [urls_of(line["body"]) for line in requests.preview()] == [
        [PHOTO],
        [data_url(png())],
        [],
    ]


@pytest.mark.parametrize(
    ("cell", "fragment"),
    [
        ("http://example.org/a.png", "with the scheme 'http', not https: or data:"),
        ("ftp://example.org/a.png", "with the scheme 'ftp'"),
        ("cat.png", "a path, which requires image_root="),
        (Path("cat.png"), "a path, which requires image_root="),
        (7, "holds an unsupported type (int)"),
        (b"<svg/>", "does not hold a PNG, JPEG, GIF or WebP image"),
        ("data:image/png;base64,@@@@", "cannot be decoded"),
        ("data:image/svg+xml,<svg/>", "does not hold a PNG"),
        ("https://", "an invalid https: URL"),
        ("https://example.org/a b", "an invalid https: URL"),
        ("https://[::1/a.png", "an invalid https: URL"),
        pytest.param(png(padding=20 * 2**20), "more than 20 MB", id="a file of 20 MB"),
        ("", "a path, which requires"),
    ],
)
def test_a_cell_without_an_image_is_named_before_anything_is_sent(cell: Any, fragment: str) -> None:
    with pytest.raises(CellError) as excinfo:
        ask([PHOTO, cell], on_missing="skip")
    assert fragment in str(excinfo.value)
    assert "row 1: column 'photo' " in str(excinfo.value)


def test_all_cells_without_an_image_are_counted() -> None:
    with pytest.raises(CellError, match="7 of 9 rows have images or files that cannot be sent"):
        ask([PHOTO, *["http://x"] * 7, png()])


@pytest.mark.parametrize(
    ("more", "fragment"),
    [
        ({"images": None, "image_root": "."}, "image_root: requires images="),
        ({"images": None, "image_detail": "low"}, "image_detail: requires images="),
        ({"image_root": "not/there"}, "image_root: not an existing folder ('not/there')"),
        ({"image_root": 7}, "image_root: not an existing folder (7)"),
        ({"image_root": ""}, "image_root: not an existing folder ('')"),
        ({"image_detail": "hihg"}, "image_detail: not one of auto, low, high, original"),
        ({"image_max_size": 0}, "image_max_size: not a positive number of pixels (0)"),
        ({"images": []}, "images: not a column"),
        ({"prompt": str}, "images: not supported with a prompt function"),
        (
            {"endpoint": "/v1/embeddings", "allow": ["model"]},
            "not supported in a batch of /v1/embeddings",
        ),
        ({"endpoint": "/v1/completions"}, "not supported in a batch of /v1/completions"),
        (
            {"endpoint": "/v1/moderations", "allow": ["model"]},
            "not supported in a batch of /v1/moderations",
        ),
    ],
)
def test_an_image_option_that_does_not_fit_is_refused(more: dict[str, Any], fragment: str) -> None:
    with pytest.raises(RequestError) as excinfo:
        ask([PHOTO], **more)
    assert fragment in str(excinfo.value)


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_image_instead_of_images_is_an_error(endpoint: str) -> None:
    with pytest.raises(RequestError, match="Did you mean images="):
        ask([PHOTO], "{{ text }}", images=None, image="photo", endpoint=endpoint)


def test_a_missing_image_column_is_named() -> None:
    with pytest.raises(ColumnError, match="Did you mean 'photo'"):
        ask([PHOTO], images="phto")


def test_large_images_are_scaled_down_on_request(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    path = tmp_path / "large.jpg"
    image_module.new("RGB", (400, 100), (200, 0, 0)).save(path, exif=_turned(image_module))
    [url] = urls_of(body([path], image_root=tmp_path, image_max_size=50))
    scaled = _opened(image_module, url)
    assert (scaled.format, scaled.size) == ("JPEG", (12, 50))
    small = png(40, 40)
    assert urls_of(body([small], image_max_size=50)) == [data_url(small)]
    image = image_module.new("RGBA", (400, 100))
    assert _opened(image_module, urls_of(body([image], image_max_size=50))[0]).size == (50, 12)
    large = png(400, 100, padding=21 * 2**20)
    assert _opened(image_module, urls_of(body([large], image_max_size=50))[0]).size == (50, 12)


@pytest.mark.parametrize(
    ("cell", "fragment"),
    [
        (png(100, 100)[:60], "invalid image"),
        (png_header(60_000, 60_000) + bytes(99), "more than 100,000,000 pixels"),
    ],
)
def test_an_image_that_cannot_be_scaled_is_named(cell: bytes, fragment: str) -> None:
    pytest.importorskip("PIL")
    with pytest.raises(CellError, match=fragment):
        ask([cell], image_max_size=50)


def test_scaling_without_pillow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ExtraError, match=r"pip install \"batchframe\[images\]\""):
        ask([png(100, 100)], image_max_size=50)
    assert len(ask([png(100, 100)])) == 1


def _turned(image_module: Any) -> Any:
    exif = image_module.Exif()
    exif[0x0112] = 6
    return exif


def _opened(image_module: Any, url: str) -> Any:
    import base64

    return image_module.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
