"""A job's folder: manifest, journal, rows and answer files."""
