"""Fleet keeps the containers of many plain Docker hosts up to date: mirror first, in waves, with a way back."""
