"""The runtimes, one per file, behind one interface."""
