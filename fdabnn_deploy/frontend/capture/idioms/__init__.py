"""Tests of code as people write it: every idiom in three modules that are written differently."""
