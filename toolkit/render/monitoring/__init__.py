"""Monitoring of a topology: one model of rules, alerts, scraping and notification, in two forms.

`labels` names what relabelling attaches and `series` every metric that anybody reads; `recordings` and the `alerts_*`
files are the rules, which `rules` makes complete for one topology; `scrape` says what is asked for its figures.
`scale` adds the rule that autoscalers read, `pages` writes two pages of the reference.
From that `operator` makes objects for the Prometheus operator and `plain` the files of a Prometheus without one;
`notify` writes Alertmanager's file for both, and `dcgm` brings the exporter of GPU figures that the rules stand on.
"""
