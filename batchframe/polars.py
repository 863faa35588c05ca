"""Register ``frame.bf`` on Polars DataFrames, when imported.

Examples
--------
>>> import polars as pl
>>> import batchframe.polars
>>> len(pl.DataFrame({"text": ["a", "b"]}).bf.requests("{{ text }}", model="gpt-4.1"))
2
"""

from polars.api import register_dataframe_namespace

from batchframe._api.accessor import Accessor

__all__: list[str] = []

register_dataframe_namespace("bf")(Accessor)
