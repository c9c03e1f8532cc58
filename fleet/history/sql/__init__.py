"""How both databases are spoken to: the door, types of columns, many rows at once, pages, and text made fit to be kept. Knows no table."""
