"""What goes wrong on purpose, and how it is carried out."""
