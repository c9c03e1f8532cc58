"""The commands a person types. Each speaks through client.py; only the process commands start rooms of this machine."""
