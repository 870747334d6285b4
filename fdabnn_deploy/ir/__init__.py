"""The graph between a PyTorch module and a target: its operators and their meaning."""
