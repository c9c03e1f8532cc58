"""Rollouts in SQL, from the plan to the end: facts are read, ``fleet.rollouts`` decides, rows follow, and commands are sent."""
