"""From an eval-mode PyTorch module to the graph, through `torch.export`; no architecture is special-cased."""

from fdabnn_deploy.frontend.capture.exported_program import Captured, TrainedLayer, capture

__all__ = ["Captured", "TrainedLayer", "capture"]
