"""The first layer of a network of pixels, alone, against the fastest float32 forms of it."""
