"""The export from beginning to end, and its report."""
