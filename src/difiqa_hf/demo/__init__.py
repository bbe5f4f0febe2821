"""The demonstration behind `difiqa demo`: a real portrait, its degraded versions, their ranking on a sheet."""
