"""From a checkpoint or a module to the captured graph."""
