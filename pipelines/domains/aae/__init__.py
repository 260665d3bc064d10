"""Delivery to the Advanced Analytics Environment."""
