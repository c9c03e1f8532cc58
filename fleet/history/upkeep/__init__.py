"""The care of the database: its shape, its partitions, what is not kept for ever, and copies of it."""
