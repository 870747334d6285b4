"""Measuring: latencies, devices, profiles, and the float and int8 baselines."""
