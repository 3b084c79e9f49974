"""What feeds the tap: a sniffed interface, a relay in the path, a capture file, the cloud's own recording."""
