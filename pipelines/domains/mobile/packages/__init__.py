"""Analytics packages: their contract, what makes one acceptable, and the privacy filter that makes them parquet."""
