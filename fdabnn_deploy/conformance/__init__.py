"""Cases for whoever implements the deployed operators: a graph around each one, inputs, and how far a result may be off.

A converter or a runtime conforms when every case gives no violations. Signs, 1-bit layers, pointwise operators, layout and max pooling
have to equal the reference; operators that sum float products may be off by what float32 sums in any order can be.
"""

from fdabnn_deploy.conformance.case import KINDS, Case
from fdabnn_deploy.conformance.chosen import chosen_cases
from fdabnn_deploy.conformance.drawn import random_case
from fdabnn_deploy.conformance.small_network import network, network_inputs

__all__ = ["KINDS", "Case", "chosen_cases", "network", "network_inputs", "random_case"]
