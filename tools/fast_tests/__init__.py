"""Tests that need no external runtime and no system package: `make test-fast`."""
