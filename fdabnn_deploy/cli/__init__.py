"""The command line tools: arguments and printing, no logic that the Python API lacks."""
