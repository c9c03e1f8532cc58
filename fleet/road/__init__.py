"""The only way between centre and host: queues, messages, signed envelopes, keys. Nothing here decides or remembers."""
