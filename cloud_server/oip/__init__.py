"""The Open Inference Protocol, version 2, as a server: what `tritonclient` and KServe's clients speak.

A request becomes frames of a bundle's lane, as those of `siftfunnel.v1.SplitInference` do: the same gates,
queue, batches, counters and drain. `requests` and `datatypes` know neither gRPC's messages nor HTTP;
`grpc_service` and `rest` only translate.
"""

SERVICE = "inference.GRPCInferenceService"
