"""Residents: spreadsheets from Drive into the Here to Help API, row by row."""
