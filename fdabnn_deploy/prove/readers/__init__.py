"""Files in the prover's neutral form."""
