"""The commands a person types. Each speaks through fleet.client; only the process commands start rooms of this machine."""
