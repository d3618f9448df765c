"""Servers over SSH: one tuned connection each, strict host keys, and the wrapper of `adapters.remote` on its channels.

`config` decides where and as whom, `hostkeys` whether it is the right machine, `keys` with what we log in, `connect` does it,
`channel` runs the wrapper on a connection, `hosts` keeps one connection per server alive.
"""
