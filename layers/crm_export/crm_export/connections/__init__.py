"""The stored OAuth grants and the access tokens that are requested with them."""
