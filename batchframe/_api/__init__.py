"""Public API of notebooks: ``df.bf``, ``Requests`` and ``Job``."""
