"""TFLite files and their interpreters."""
