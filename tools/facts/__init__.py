"""``python -m tools.facts``: compare the tables with the newest packages."""
