"""The loopback registry that the engine pulls from: failover, verification, provenance. Nothing here knows containers."""
