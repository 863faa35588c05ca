"""What a notebook calls: ``df.bf``, ``Requests`` and ``Job``."""
