"""Where to pull from, and in what order: sources of configuration, the table, the route. Nothing here fetches a byte."""
