"""What an image is called: references, digests, platforms. Pure; nothing here opens a socket or a file."""
