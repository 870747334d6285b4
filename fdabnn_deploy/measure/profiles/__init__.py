"""Profiles exported models on devices: self-test, latency, layers and their ceilings, with everything that a figure depends on."""
