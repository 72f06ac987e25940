"""Devices that are not there: a fleet of them on a real broker (`rehearsal`), or a week of them on paper (`week`).

rehearsal -> a depot and a driver as in production + `workers` -> many processes of `crowd` -> `device`
week      -> a heap of events -> `desk`, which asks `protocol.waves` as `fleet.steer` does
journal   -> what a real driver heard and wrote, handed to a `desk` again: both must have written the same
"""
