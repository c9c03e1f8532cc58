"""What happened, in SQL: tables, record, queries. All SQL of the project lives here; other rooms get functions, never a session."""
