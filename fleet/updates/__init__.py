"""One update on one host: snapshot, plan, pull, recreate, verify or roll back, outcome. Nothing here knows queues or SQL."""
