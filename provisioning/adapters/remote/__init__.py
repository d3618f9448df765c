"""Named, journalled units of work on a server: the wrapper that runs there, and the side that talks to it.

The wrapper (`wrapper/*.pl`) is one process per connection. Its `program` travels once; then `request`s go to it and
`frames` come back, many at a time, over the `wire` of one `session`. `link` decides what a lost session means. How bytes get
there is a `Shell`: `adapters.ssh` over a connection, `adapters.local` into a child process.
"""
