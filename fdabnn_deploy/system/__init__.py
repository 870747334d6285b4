"""This machine: files that are whole or absent, temporary folders, memory, other programs, progress."""
