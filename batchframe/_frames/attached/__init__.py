"""Images and files of cells, as requests send them."""
