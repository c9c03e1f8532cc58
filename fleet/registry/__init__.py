"""What a registry says: the OCI distribution client, its tokens, credentials and TLS. Nothing here chooses where to ask."""
