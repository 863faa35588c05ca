"""``/v1/images/generations``: one text in, one image out."""

from __future__ import annotations

from typing import Any, Final

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._endpoints.pictures import Pictures
from batchframe._endpoints.texts import text_leaf
from batchframe._recipe.recipe import Recipe


class _Images(Pictures):
    path = EndpointPath.IMAGES

    def body(self, recipe: Recipe) -> dict[str, Any]:
        return {"model": recipe.model, "prompt": text_leaf(recipe), **recipe.body}


IMAGES: Final = _Images()
