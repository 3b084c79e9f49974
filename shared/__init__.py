"""What two or more parties of siftfunnel must agree on; numpy and Pillow, never PyTorch."""
