"""Does a server speak the Open Inference Protocol? A sentence of the specification, a check, a table.

It needs `tritonclient[grpc]` and `httpx`, and a server that has Triton's example model `simple`; nothing of
siftfunnel.
"""
