"""What is asked of what happened: the words of a query, the way to its rows, and the answers. Days that are over are written down here."""
