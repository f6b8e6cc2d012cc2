"""The interfaces: each module has ENDPOINTS."""
