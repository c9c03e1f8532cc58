"""Stand-ins that behave: a scriptable registry on a real socket and an in-memory engine. Never imported by the program."""
