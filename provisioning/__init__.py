"""Turns a set of servers into a cluster: declared as a DAG of formulas, installed over SSH, gated, resumed."""

__version__ = "0.1.0"
