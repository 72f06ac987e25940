"""The drawing has every noun, and nothing in a name can draw something else."""

from __future__ import annotations

from toolkit.render.graph import _escaped, draw


def test_every_tier_pool_model_job_service_and_route_is_drawn(hospital):
    lines = [line.strip() for line in draw(hospital).splitlines()]
    assert lines[0] == "flowchart LR"
    assert [line for line in lines if line.startswith("subgraph")] == [
        f'subgraph tier_{tier}["{tier}"]' for tier in ("edge", "hot", "warm", "cold")
    ]
    assert 'pool_ultrasound["ultrasound<br/>120 × jetson-orin-nx, 1 GPU each"]' in lines
    assert 'pool_a100["a100<br/>6 × a100-sxm-80gb, 8 GPUs each"]' in lines
    assert "model_us_segmentation --> pool_ultrasound" in lines
    assert "model_us_segmentation -. fallback .-> model_us_segmentation_lite" in lines
    assert 'job_seg3d{{"seg3d<br/>4 workers × 8 GPUs<br/>queue research"}}' in lines
    assert "service_medical_ai --> pool_a100" in lines
    assert 'data_edge -->|"frames<br/>every 10m, 20MiB/s"| data_hot' in lines
    assert 'data_cold -->|"recall<br/>on demand"| data_warm' in lines
    assert 'data_warm -->|"mirror<br/>every 1h"| data_warm' in lines


def test_every_line_that_draws_an_arrow_names_nodes_that_are_there(hospital):
    lines = [line.strip() for line in draw(hospital).splitlines()]
    known = {line.split("[")[0].split("(")[0].split("{")[0].removeprefix("subgraph ") for line in lines}
    for line in lines:
        if "->" in line:
            assert {line.split()[0], line.split()[-1]} <= known


def test_storage_with_markup_in_its_name_stays_text():
    assert _escaped('a"]; click b<br/>') == "a#34;#93;#59; click b#60;br/#62;"
