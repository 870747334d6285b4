"""Measuring TFLite files: their operators, and the float and int8 baselines that they are compared with."""
