"""What cannot be deployed, and what to write instead."""
