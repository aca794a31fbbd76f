"""Figures as SVG text: small, the same bytes everywhere, readable without scripts, in light and dark, on paper."""
