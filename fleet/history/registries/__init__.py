"""What registries said: which digest a tag has, what was pushed, and how often they may be asked."""
