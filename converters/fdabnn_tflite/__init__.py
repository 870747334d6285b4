"""The target `tflite`: writes deployed graphs as TFLite files with the binary operators of Larq Compute Engine.

It opens and runs such files, too, and reads them for the prover.
"""

from fdabnn_tflite.registration import TARGET

__all__ = ["TARGET"]
