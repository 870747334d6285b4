"""FDA-BNN in PyTorch: layers, architectures, and their training on CIFAR-10."""
