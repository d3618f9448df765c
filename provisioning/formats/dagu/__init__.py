"""Dagu YAML of every dialect -> the declared model, all faults and all ambiguous readings."""
