"""Whether two models compute the same: metrics, comparisons, the gate, golden capsules."""
