"""Inference engines behind one protocol; the only room that knows ONNX Runtime (and later TensorRT).

A verified artifact comes in from `install`; `choose.open_engine` gives an `Engine`, which `serving` calls.
"""
