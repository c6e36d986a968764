"""The administrator's desk: what the paths of the admin API do, one noun a module."""
