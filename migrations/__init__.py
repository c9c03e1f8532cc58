"""Migrations of the history: expand first, contract later."""
