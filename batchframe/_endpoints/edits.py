"""``/v1/images/edits``: one text and some images in, one image out.

In a batch the images stand in the JSON body as ``images``, each with an ``image_url`` that is an
https: or a data: URL (``EditImageBodyJsonParam`` of OpenAI's OpenAPI description, 2026); the
multipart form that the openai package sends has no place in a line.
"""

from __future__ import annotations

from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError
from batchframe._endpoints.pictures import Pictures
from batchframe._endpoints.texts import refuse_all_but_text, text_leaf
from batchframe._frames.image_columns import image_column
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import MoreItems

_MOST: Final = 16
"""Images of one request (openai 3.54.0, ImageEditParams)."""


class _Edits(Pictures):
    path = EndpointPath.IMAGE_EDITS

    def check(self, recipe: Recipe) -> None:
        """Refuse what has no place beside the text and the images, and a row without an image."""
        refuse_all_but_text(recipe)
        if recipe.images is None:
            raise RequestError(
                f"{self.path} edits images, and images= names no column of them: requests(..., "
                'images="photo"). To make images of a text alone, pass '
                'endpoint="/v1/images/generations".'
            )
        if recipe.images.detail is not None:
            raise RequestError.no_detail(self.path)
        if len(recipe.images.columns) > _MOST:
            raise RequestError.too_many_images(self.path, len(recipe.images.columns), _MOST)
        if recipe.on_missing not in {"raise", "skip"}:
            raise RequestError.nothing_to_edit(self.path, recipe.on_missing)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        names = () if recipe.images is None else recipe.images.columns
        columns = tuple(image_column(position) for position in range(len(names)))
        images = [MoreItems(columns, '{"image_url":', "}", alone=True)]
        prompt = text_leaf(recipe)
        return {"model": recipe.model, "prompt": prompt, "images": images, **recipe.body}

    def recipe_of(self, body: Any) -> Recipe:
        """Return what a request body tells of its recipe: all but the prompt and the images."""
        return super().recipe_of({key: body[key] for key in body.keys() - {"images"}})


EDITS: Final = _Edits()
