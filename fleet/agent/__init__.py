"""The worker of one host: a state machine over its journal. Nothing here waits for an answer, decides a rollout, or sees SQL."""
