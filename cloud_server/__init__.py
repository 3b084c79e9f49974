"""The service: gRPC stream -> decode -> batch -> cloud half -> answers, with an admin side over HTTP.

Modules, from the wire inwards:

- `server`: ports, health, drain: the parts put together
- `service`: the gRPC handlers: who may talk, about which bundle
- `session`: one stream: frames in, replies out in the same order
- `ceilings`: how many calls may be open, of one client and of all
- `lane`: one bundle's queue, worker threads and their helper
- `batching`: when a batch starts, who is in it, and whose turn it is (pure)
- `inference`: what happens to one batch: decode, run, answer
- `settlement`: a frame's one reply, counted and told
- `answers`: logits and failures to reply bytes (pure)
- `engine`: the cloud half behind one small interface
- `metrics`, `admin`, `recorder`: what the operator sees; what a curious operator keeps
"""
