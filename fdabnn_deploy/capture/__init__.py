"""From an eval-mode PyTorch module to the graph, through `torch.export`; no architecture is special-cased."""

from fdabnn_deploy.capture.export import Captured, TrainedLayer, capture
from fdabnn_deploy.capture.sign_zeros import SignZeros, count_sign_zeros

__all__ = ["Captured", "SignZeros", "TrainedLayer", "capture", "count_sign_zeros"]
