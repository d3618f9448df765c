"""Drawings of a formula DAG as text: pure makers from a `Picture` to tree, table rows, Mermaid, DOT and SVG."""
