"""REST, SSE and the pages over them. Loaded only by the server: the extra `server` has what it needs."""
