"""What happens to data as it ages: rules, holds, records of reads, the catalogue, and who carries rules out.

`toolkit.policies` makes a Policy from tiers.yaml; `plan` looks at the storages and asks the pure `rules` and `evict`;
`carry_out` does it. Nothing here knows tiers.yaml.
"""
