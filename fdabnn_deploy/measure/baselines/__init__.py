"""What a binary network's speed is compared with: the same network in float32 and in int8, made from its exported file."""
