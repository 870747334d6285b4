"""Machines that models are measured on: by address, what is pushed to them, and how programs run and end there."""
