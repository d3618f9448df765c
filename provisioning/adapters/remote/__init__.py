"""Named, journalled units of work on a server: the wrapper that runs there, and the side that talks to it.

The wrapper (`*.sh`) is sent with every request, on the standard input of one small constant command. `request` frames what
is sent, `answer` reads what comes back, `wire` waits for it, `link` decides what a lost link means. How bytes get there is
a `Shell`: `adapters.ssh` over a connection, `adapters.local` into a child process.
"""
