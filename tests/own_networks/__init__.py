"""Networks that nobody here wrote, from wheels of the package index, through the whole `siftfunnel split`."""
