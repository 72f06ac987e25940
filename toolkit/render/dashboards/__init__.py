"""Dashboards for Grafana, all from one description.

What is asked stands in `fleet`, `tier`, `model_page`, `jobs` and `sync`, in the words of `description`; `grafana` puts
it into Grafana's form, `provision` makes ConfigMaps or files of that. Names of metrics are those of `monitoring`.
"""
