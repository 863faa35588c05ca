"""Options of images and files, checked before any of them is read."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from batchframe._base.errors import RequestError
from batchframe._base.safe_text import requests_step

_DETAILS: Final = ("auto", "low", "high", "original")


@dataclass(frozen=True)
class ImageInput:
    """The image columns and how their images are sent.

    Attributes
    ----------
    columns
        Names of the columns.
    root
        The folder that contains all local paths, as the user wrote it; without it paths are
        rejected.
    detail
        "auto", "low", "high" or "original"; None leaves it to the service.
    max_size
        The longest side in pixels to which larger images are scaled down; None sends all unchanged.
    """

    columns: tuple[str, ...]
    root: str | None = None
    detail: str | None = None
    max_size: int | None = None
    root_option: ClassVar[str] = "image_root"

    @classmethod
    def checked(
        cls, columns: object, root: object, detail: object, max_size: object
    ) -> ImageInput | None:
        """Validate the user's options; return None without images.

        Raises
        ------
        RequestError
            For an invalid option, naming it.
        """
        if columns is None:
            options = {"image_root": root, "image_detail": detail, "image_max_size": max_size}
            for keyword, value in options.items():
                if value is not None:
                    raise RequestError(
                        f"{keyword}: requires images=. Fix: "
                        + requests_step('images="photo"')
                        + "."
                    )
            return None
        return cls(
            _check_columns(columns, "images", "photo"),
            _check_root(root, cls.root_option),
            _check_detail(detail),
            _check_side(max_size),
        )


@dataclass(frozen=True)
class FileInput:
    """The columns of PDF files.

    Attributes
    ----------
    columns
        Names of the columns.
    root
        The folder that contains all local paths, as the user wrote it; without it paths are
        rejected.
    links
        Whether the endpoint accepts URLs.
    """

    columns: tuple[str, ...]
    root: str | None = None
    links: bool = True
    root_option: ClassVar[str] = "file_root"

    @classmethod
    def checked(cls, columns: object, root: object) -> FileInput | None:
        """Validate the user's options; return None without files.

        Raises
        ------
        RequestError
            For an invalid option, naming it.
        """
        if columns is not None:
            names = _check_columns(columns, "files", "pdf")
            return cls(names, _check_root(root, cls.root_option))
        if root is not None:
            raise RequestError(
                "file_root: requires files=. Fix: " + requests_step('files="pdf"') + "."
            )
        return None


def _check_columns(columns: object, keyword: str, example: str) -> tuple[str, ...]:
    labels = list(columns) if isinstance(columns, list) else [columns]
    if not labels or not all(isinstance(label, Hashable) for label in labels):
        raise RequestError.invalid_argument(
            keyword, columns, f'a column or a list such as ["{example}"]'
        )
    return tuple(str(label) for label in labels)


def _check_root(root: object, keyword: str) -> str | None:
    if root is None:
        return None
    folder = os.fspath(root) if isinstance(root, str | os.PathLike) else None
    if not isinstance(folder, str) or not folder or not Path(folder).is_dir():
        raise RequestError.invalid_argument(keyword, root, "an existing folder")
    return str.__str__(folder)


def _check_detail(detail: object) -> str | None:
    if detail is not None and detail not in _DETAILS:
        raise RequestError.invalid_argument("image_detail", detail, f"one of {', '.join(_DETAILS)}")
    return None if detail is None else str(detail)


def _check_side(side: object) -> int | None:
    if side is None:
        return None
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise RequestError.invalid_argument("image_max_size", side, "a positive number of pixels")
    return int(side)
