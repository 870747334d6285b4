"""Profiles exported models on devices: self-test, latency, layers and the peak of the core, with everything that a figure depends on."""
