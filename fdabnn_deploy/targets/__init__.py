"""The targets: who writes files of which format."""
