"""The whole main job on one machine, on real input, with every figure measured: `tiers demo`.

    material -> describe (validate, render, lint) -> gang -> site (broker, depot, two devices) -> ship v1, v2
             -> infer -> refuse a bad v3 -> move (sync edge, hot, warm, cold, twice) -> evidence

Stands above all rooms and uses them as a user would, by the commands that a user types: each row of the table keeps the
commands that made it, and `--keep` leaves a site on which they work by hand. `run` is the order of the steps; `fault`
breaks one thing on purpose, so that tests can see the matching row fail.
"""
