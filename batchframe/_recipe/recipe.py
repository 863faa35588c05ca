"""The recipe: everything in a request that does not come from a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._frames.attached.options import FileInput, ImageInput
from batchframe._models.availability import are_openais, check_spelling
from batchframe._models.rules import check_endpoint, check_parameters
from batchframe._output import OutputSpec
from batchframe._recipe.arguments import (
    Message,
    checked_allow,
    checked_body,
    checked_model,
    checked_on_missing,
    checked_prompt,
    checked_system,
)

UNKNOWN_COLUMNS: Final = ("bf_unknown",)
"""Placeholder for recovered jobs, whose prompt columns are unknown."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that turn rows into requests and answers into columns.

    Attributes
    ----------
    prompt
        The source of a template, or chat messages whose contents are templates; None if a
        function made the prompts (only its return values can be stored).
    on_missing
        "raise", "skip", "empty", or the string that replaces a missing cell.
    body
        Further parameters of each request body, as JSON.
    columns
        For a prompt function: the column labels it received, as strings.
    allow
        Checks to skip: names of parameters, "model", "context_window".
    image_columns, image_root, image_detail, image_max_size
        The fields of :attr:`images`, as the manifest stores them.
    file_columns, file_root
        The fields of :attr:`files`, as the manifest stores them.
    lenient
        Whether to ignore unknown fields of answers.
    """

    endpoint: str
    model: str
    prompt: str | tuple[Message, ...] | None
    system: str | None
    output: OutputSpec
    on_missing: str
    dedupe: bool
    body: Mapping[str, Any]
    columns: tuple[str, ...]
    allow: tuple[str, ...] = ()
    image_columns: tuple[str, ...] | None = msgspec.field(name="images", default=None)
    image_root: str | None = None
    image_detail: str | None = None
    image_max_size: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None
    # Unset fields are not written, so that manifests without them stay as they are.
    file_columns: tuple[str, ...] | UnsetType = msgspec.field(name="files", default=UNSET)
    file_root: str | UnsetType = UNSET
    lenient: bool | UnsetType = UNSET

    @property
    def images(self) -> ImageInput | None:
        """The image columns and how they are sent; None without images."""
        if not self.image_columns:
            return None
        options = (self.image_root, self.image_detail, self.image_max_size)
        return ImageInput(self.image_columns, *options)

    @property
    def files(self) -> FileInput | None:
        """The columns of files and how they are sent; None without files."""
        if self.file_columns is UNSET:
            return None
        root = None if self.file_root is UNSET else self.file_root
        return FileInput(self.file_columns, root, self.endpoint == EndpointPath.RESPONSES)

    @property
    def attached(self) -> tuple[ImageInput | FileInput, ...]:
        """The images and the files that are sent with the prompts."""
        return tuple(options for options in (self.images, self.files) if options is not None)

    @classmethod
    def checked(
        cls,
        *,
        endpoint: str,
        model: object,
        prompt: object,
        system: object,
        output: OutputSpec,
        on_missing: object,
        dedupe: bool,
        body: Mapping[str, Any],
        allow: Sequence[str] = (),
        lenient: bool = False,
        images: ImageInput | None = None,
        files: FileInput | None = None,
    ) -> Recipe:
        """Build a recipe from validated user arguments.

        Raises
        ------
        TemplateError, RequestError
            If an argument is invalid.

        Warns
        -----
        ParameterWarning
            If a parameter is unknown to OpenAI.
        """
        model_name = checked_model(model)
        allowed_checks = checked_allow(allow, body)
        parameters = checked_body(body, endpoint, allowed_checks, text=output.schema is None)
        if are_openais():
            check_spelling(model_name, allowed_checks)
        check_endpoint(model_name, endpoint, allowed_checks)
        check_parameters(model_name, endpoint, parameters, allowed_checks)
        stored_prompt = checked_prompt(prompt)
        if images is not None and stored_prompt is None:
            raise RequestError(
                "images: not supported with a prompt function. Fix: return messages with image_url "
                "parts, or pass a template as the prompt."
            )
        if files is not None and stored_prompt is None:
            raise RequestError(
                "files: not supported with a prompt function. Fix: return messages with file "
                "parts, or pass a template as the prompt."
            )
        sent_images = images or ImageInput(())
        file_root = None if files is None else files.root
        return cls(
            endpoint=endpoint,
            model=model_name,
            prompt=stored_prompt,
            system=checked_system(system),
            output=output,
            on_missing=checked_on_missing(on_missing),
            dedupe=bool(dedupe),
            body=parameters,
            columns=(),
            allow=allowed_checks,
            image_columns=sent_images.columns or None,
            image_root=sent_images.root,
            image_detail=sent_images.detail,
            image_max_size=sent_images.max_size,
            file_columns=UNSET if files is None else files.columns,
            file_root=UNSET if file_root is None else file_root,
            lenient=True if lenient else UNSET,
        )

    def difference(self, other: Recipe) -> list[str]:
        """List the keywords in which two recipes differ."""
        stored_fields = map(msgspec.to_builtins, (self, other))
        own, others = ({**fields.pop("body"), **fields} for fields in stored_fields)
        return [key for key in {**own, **others} if own.get(key) != others.get(key)]
