"""What happened, in SQL, by subject. All SQL of the project lives here; other rooms get functions, never a session."""
