"""What is written along with a change, in its transaction: who did it, what to tell of it, what to count, and what to send to hosts."""
