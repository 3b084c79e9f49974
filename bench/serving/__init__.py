"""The serving path at its limit: the cloud server against the bare model, and what it adds per frame.

client core                             model core
prepared frames -> gRPC -> [event loop] -> [worker: decode, model, answer]
                           layout "server": event loop and worker both on the model's core
                           layout "model":  the worker there, the event loop beside the client
"""
