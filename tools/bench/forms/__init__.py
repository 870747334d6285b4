"""The forms of exported files, exact and float, of pixels and of normalised images, timed in turn."""
