"""The targets: what an installed package says about its file format, and who writes such files."""
