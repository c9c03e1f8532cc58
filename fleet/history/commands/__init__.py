"""How commands, and the hosts of rollouts that they belong to, change their state. Nothing decides here when."""
