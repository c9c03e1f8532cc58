"""What a registry says: the distribution client, its tokens, credentials and TLS. Nothing here chooses whom to ask."""
