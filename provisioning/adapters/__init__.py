"""One file or small package per outside thing."""
