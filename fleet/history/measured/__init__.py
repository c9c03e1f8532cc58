"""What metrics show, read from what is counted and from small tables."""
