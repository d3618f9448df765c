"""The engine of a server process: it drives runs of DAG files and workspaces and tells whoever looks what happens."""
