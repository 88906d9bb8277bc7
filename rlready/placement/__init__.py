"""What a recipe asks of machines: images, GPUs, memory, volumes and secrets of every stage."""
