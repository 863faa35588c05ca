"""MiniLM, a small language model that picks labels and embeds text."""
