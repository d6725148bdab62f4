"""Who may use the API: tokens, and what each may do."""
