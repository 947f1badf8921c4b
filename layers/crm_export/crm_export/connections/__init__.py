"""Stored OAuth grants and the access tokens made from them."""
