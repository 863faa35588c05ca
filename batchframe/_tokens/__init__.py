"""Input token counts of request bodies."""
