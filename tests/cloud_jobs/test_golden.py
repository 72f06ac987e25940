"""Golden inputs are plain arrays in the layout that manifests promise."""

import io

import numpy as np
import torch

from cloud_jobs.export import export
from cloud_jobs.golden import golden_of
from cloud_jobs.models.digits_cnn import DigitsCnn


def test_the_layout_and_that_equal_input_gives_equal_bytes():
    model = DigitsCnn()
    samples, labels = torch.rand(4, 1, 8, 8), np.arange(4)
    data = export(model, samples)
    golden = golden_of(data, samples.numpy(), labels)
    assert golden == golden_of(data, samples.numpy(), labels)
    with np.load(io.BytesIO(golden), allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "input.image": (4, 1, 8, 8),
            "output.logits": (4, 10),
            "labels": (4,),
        }
        np.testing.assert_allclose(arrays["output.logits"], model(samples).detach().numpy(), atol=1e-4)


def test_a_mask_is_no_label():
    model, samples = DigitsCnn(), torch.rand(2, 1, 8, 8)
    golden = golden_of(export(model, samples), samples.numpy(), np.zeros((2, 8, 8), dtype=np.int64))
    with np.load(io.BytesIO(golden), allow_pickle=False) as arrays:
        assert "labels" not in arrays
