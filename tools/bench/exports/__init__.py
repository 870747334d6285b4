"""How long an export takes and how much memory, beside that of another commit."""
