"""Every setting, read once at a process's door and handed down as plain values. No other room reads the environment."""
