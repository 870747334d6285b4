"""The gate: whether the deployed graph is the trained network, layer by layer and as a whole.

Files are compared with the deployed graph by bits, which says nothing of what the passes made of the network. Here the deployed graph meets
the trained module itself, in every mode (docs/gate.md).
"""
