"""Turns a result ZIP, or pages of records, into the bytes of an object. Knows neither Zoho's API nor AWS."""
