"""Both exporters give a file that the oldest device loads and that computes the same."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from cloud_jobs.export import check_ceiling, export
from cloud_jobs.golden import answers_of
from cloud_jobs.models.digits_cnn import DigitsCnn
from cloud_jobs.weights import read_weights
from toolkit.errors import JobError


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_an_export_loads_on_the_oldest_device_and_answers_alike(exporter, tmp_path):
    torch.manual_seed(3)
    model, samples = DigitsCnn(), torch.rand(5, 1, 8, 8)
    data = export(model, samples, exporter)
    parsed = onnx.load_from_string(data)
    assert parsed.ir_version <= 10
    assert max(each.version for each in parsed.opset_import) <= 20
    assert [each.name for each in parsed.graph.input] == ["image"]
    assert [each.name for each in parsed.graph.output] == ["logits"]
    for count in (1, 5, 7):  # the batch size is free
        batch = torch.rand(count, 1, 8, 8)
        np.testing.assert_allclose(answers_of(data, batch.numpy()), model(batch).detach().numpy(), atol=1e-4)
    (tmp_path / "model.onnx").write_bytes(data)
    kept = read_weights(tmp_path / "model.onnx", DigitsCnn())
    assert all(torch.equal(kept[name], each) for name, each in model.state_dict().items())


def minimal(ir, opset):
    node = helper.make_node("Identity", ["image"], ["logits"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "logits")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    return helper.make_model(
        graph, ir_version=ir, opset_imports=[helper.make_opsetid("", opset)]
    ).SerializeToString()


def test_the_ceiling():
    check_ceiling(minimal(10, 20))
    with pytest.raises(JobError, match="IR 11 and opset 20; devices load at most IR 10 and opset 20"):
        check_ceiling(minimal(11, 20))
    with pytest.raises(JobError, match="IR 10 and opset 21"):
        check_ceiling(minimal(10, 21))


class Wavering(torch.nn.Module):
    """Answers with another number each time, so that no export can be the same; numbers at random may be as near."""

    calls = 0

    def forward(self, images):
        self.calls += 1
        return images.flatten(1) + self.calls


def test_an_export_that_computes_something_else_is_refused():
    with pytest.raises(JobError, match="ONNX Runtime and PyTorch differ by up to"):
        export(Wavering(), torch.rand(2, 1, 8, 8))
