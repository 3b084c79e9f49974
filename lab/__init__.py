"""The PyTorch workshop: data, models, training, export, and the attacker's decoders."""
