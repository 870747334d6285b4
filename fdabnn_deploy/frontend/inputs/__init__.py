"""Descriptions of a network's inputs."""
