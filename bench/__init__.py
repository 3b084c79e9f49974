"""Measures the running service: latency, bytes and throughput. Imports the parties, is imported by none."""
