"""Inference over HTTP in the Open Inference Protocol v2, as existing clients speak it.

    connection (bytes -> Request) -> routes (path -> model) -> tensors (JSON or binary -> NumPy) -> models, admission
    -> batcher (one thread per model, which owns the Engine, or the loop while calls are short) -> tensors -> connection

`server.Server` puts it together; the daemon declares models and swaps versions in `models.ModelTable`.
All else runs on one asyncio loop, so the table needs no locks.
"""
