"""Whom to tell, and how: what an event is, which channel wants which, its words, and how it is sent. No SQL; nothing is decided here."""
