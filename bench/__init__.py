"""Measures the running service: ratios are taken side by side in one run, results name the machine."""
