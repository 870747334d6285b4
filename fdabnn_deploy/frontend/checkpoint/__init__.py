"""Reading a trained network: any checkpoint file, safely, or the user's own module in memory.

`read` and `from_module` give a `Source`: an eval-mode float32 module on the CPU that is truly binary, with
what is known about its inputs. `docs/reading-checkpoints.md` describes the files that are understood. This
package imports PyTorch.
"""

from __future__ import annotations

from fdabnn_deploy.frontend.checkpoint.make_module import architecture_names, parse_arch_args
from fdabnn_deploy.frontend.checkpoint.noise import NoiseLayer, NoiseReport
from fdabnn_deploy.frontend.checkpoint.source import Source, from_module, read, untrained

__all__ = [
    "NoiseLayer",
    "NoiseReport",
    "Source",
    "architecture_names",
    "from_module",
    "parse_arch_args",
    "read",
    "untrained",
]
