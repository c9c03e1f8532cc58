"""How the mirrors of hosts do: looks that were asked for, speeds, and sources that gave wrong bytes."""
