"""What runs inside training and batch pods: started by Volcano or by `tiers job submit --local`, never imported.

Flow: toolkit.jobs (or the rendered Volcano Job) starts `python -m cloud_jobs.train` once per worker; the workers
find each other, train, and leave an ONNX file, golden inputs and metrics for `tiers model push`. Of toolkit only
the floor (errors, wire, protocol, link, sync) may be imported here.
"""
