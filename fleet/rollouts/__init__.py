"""Which hosts, in what order, when: pure decisions over facts. Nothing here reads a clock, a row or a socket."""
