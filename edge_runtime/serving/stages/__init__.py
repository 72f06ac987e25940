"""What is done around an engine because a model's manifest says so: `chain` runs the steps, `staged` is their Answerer.

One file per subject; each function here computes one kind of `toolkit.protocol.stage_kinds` and trusts its form, which
was checked when the model was loaded, but never the bytes of a request.
"""
