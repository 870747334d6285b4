"""What a model costs on a device: measuring there, and what stands in for it where there is none."""
