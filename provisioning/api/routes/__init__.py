"""The endpoints, one module per noun. A handler turns a call into a call of operations, and what that returns into a shape."""
