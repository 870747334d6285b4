"""What is known about a network's inputs."""
