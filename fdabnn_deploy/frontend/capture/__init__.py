"""From an eval-mode PyTorch module to the graph, through `torch.export`; no architecture is special-cased."""

from fdabnn_deploy.frontend.capture.exported_program import Captured, capture
from fdabnn_deploy.frontend.capture.trained_layers import TrainedLayer

__all__ = ["Captured", "TrainedLayer", "capture"]
