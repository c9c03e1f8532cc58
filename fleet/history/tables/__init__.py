"""Every table, by subject, with what each column holds; the closed sets of words in them. No question is asked here."""
