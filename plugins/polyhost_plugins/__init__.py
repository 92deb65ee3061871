"""The strategies that ship with polyhost; each imports only `polyhost`."""
