"""What the API takes and answers, as pydantic models: the contract of `schemas/openapi.json`."""
