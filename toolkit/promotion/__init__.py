"""What CI calls: may this version go out, and did it arrive.

`gates` (what the manifest says against what tiers.yaml asks) → `promote` (start, follow) → `summary` (Markdown)
"""
